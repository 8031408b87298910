import { buildSchema, type DocumentNode, parse } from 'graphql';
import { expect, test } from 'vitest';
import type { Role } from '../../src/core/model.ts';
import { createSharedExecution } from '../../src/http/shared-execution.ts';
import { actor } from '../support/actor.ts';

/** Subscriptions to a field that counts how often it is asked for, and says by whom. */
function counting() {
  let runs = 0;
  const schema = buildSchema('type Query { a: Int } type Subscription { seen(as: String): String }');
  const field = schema.getSubscriptionType()?.getFields().seen;
  if (field !== undefined) {
    field.resolve = (event, args, { principal }) => {
      runs += 1;
      return `${event.name} as ${args.as} by ${principal.role}`;
    };
  }
  const share = createSharedExecution<object>({});
  return {
    runs: () => runs,
    execution: (
      document: DocumentNode,
      role: Role,
      variableValues: Record<string, string> = {},
      subject = 'a',
    ) =>
      share({
        schema,
        document,
        variableValues,
        contextValue: { principal: { ...actor(role, subject), expiresAt: Infinity } },
      }),
  };
}

const document = parse('subscription ($as: String) { seen(as: $as) }');
const seen = (text: string) => ({ data: { seen: text } });

test('those of one role, document and variables share one run of an event, and one result', async () => {
  const { execution, runs } = counting();
  const executions = ['a', 'b', 'c'].map((subject) => execution(document, 'viewer', { as: 'x' }, subject));
  const event = { name: 'first' };
  const results = await Promise.all(executions.map((each) => each.run(event)));
  expect(results[0]).toEqual(seen('first as x by viewer'));
  expect(new Set(results).size).toBe(1);
  expect(runs()).toBe(1);
  // Another one, although it looks the same, and the next one.
  await executions[0]?.run({ name: 'first' });
  expect(await executions[1]?.run({ name: 'second' })).toEqual(seen('second as x by viewer'));
  expect(runs()).toBe(3);
});

test('roles, variables and documents never share', async () => {
  const { execution, runs } = counting();
  const event = { name: 'one' };
  const of = (role: Role, as: string, from = document) => execution(from, role, { as }).run(event);
  expect(await Promise.all([of('viewer', 'x'), of('admin', 'x'), of('editor', 'x')])).toEqual([
    seen('one as x by viewer'),
    seen('one as x by admin'),
    seen('one as x by editor'),
  ]);
  expect(await of('viewer', 'y')).toEqual(seen('one as y by viewer'));
  const aliased = parse('subscription ($as: String) { mine: seen(as: $as) }');
  expect(await of('viewer', 'x', aliased)).toEqual({ data: { mine: 'one as x by viewer' } });
  expect(runs()).toBe(5);
});

test('operations of one document never share', async () => {
  const two = parse('subscription A { seen(as: "a") } subscription B { seen(as: "b") }');
  const schema = buildSchema('type Query { a: Int } type Subscription { seen(as: String): String }');
  const share = createSharedExecution<object>({});
  const contextValue = { principal: { ...actor('viewer', 'a'), expiresAt: Infinity } };
  const event = { seen: ({ as }: { as: string }) => as };
  const results = ['A', 'B'].map((operationName) =>
    share({ schema, document: two, operationName, contextValue }).run(event),
  );
  expect(await Promise.all(results)).toEqual([seen('a'), seen('b')]);
});

test('what is shared is forgotten with the last who shares it, and not before', async () => {
  const { execution, runs } = counting();
  const event = { name: 'one' };
  const [first, second] = [execution(document, 'viewer'), execution(document, 'viewer')];
  await first.run(event);
  first[Symbol.dispose]();
  await second.run(event);
  expect(runs()).toBe(1);
  second[Symbol.dispose]();
  await execution(document, 'viewer').run(event);
  expect(runs()).toBe(2);
});
