import { LRUCache } from 'lru-cache';
import type { Actor, Caller, Role, Tenant } from '../core/model.ts';
import type { Tenants } from '../core/tenants.ts';
import type { GraphqlContext } from '../schema/context.ts';
import type { HotQuery } from './hot-queries.ts';

/** As many answers are remembered for each role, and none whose request and text together are longer. */
const maxAnswers = 10_000;
const maxLength = 4_096;

/** What a query was answered. */
export interface RememberedAnswer {
  readonly query: HotQuery;
  /** How many objects it counts. */
  readonly objects: number;
  readonly text: string;
}

/** An execution of which it is known what it was made of. */
export interface Observation {
  readonly context: GraphqlContext;
  /** Remembers its answer, if that was made of nothing but tenants that are remembered themselves. */
  remember(answer: RememberedAnswer): void;
}

interface Entry extends RememberedAnswer {
  readonly madeOf: readonly Tenant[];
}

/**
 * Answers to queries, by the role that asked and the whole body of the request. An answer that was made of remembered
 * tenants alone is made again as long as each of them is remembered: the cache answers with the same object until it
 * has changed. So an answer is never older than what the cache knows. What else an execution has looked at is
 * observed; one that looked at anything but single tenants and the role is not remembered.
 */
export function createRememberedAnswers(base: Omit<GraphqlContext, 'principal'>) {
  const { tenants } = base.core;
  const answers: Record<Role, LRUCache<string, Entry>> = {
    viewer: new LRUCache({ max: maxAnswers }),
    editor: new LRUCache({ max: maxAnswers }),
    admin: new LRUCache({ max: maxAnswers }),
  };
  /** Queries that look at something else each time. */
  const elsewhere = new WeakSet<HotQuery>();

  return {
    /** The answer as it would be made now; null when it has to be made. */
    find(role: Role, body: string): RememberedAnswer | null {
      const entry = answers[role].get(body);
      if (entry === undefined) return null;
      return entry.madeOf.every((tenant) => tenants.peek(tenant.id) === tenant) ? entry : null;
    },

    /** What to execute a query with; null when it is not worth observing. */
    observe(query: HotQuery, principal: Actor & Caller, body: string): Observation | null {
      if (elsewhere.has(query) || body.length > maxLength) return null;
      const madeOf: Tenant[] = [];
      let isLasting = true;
      const look = () => {
        elsewhere.add(query);
      };
      const find: Tenants['find'] = async (id, deleted) => {
        const tenant = await tenants.find(id, deleted);
        if (tenant !== null && tenants.peek(tenant.id) === tenant) madeOf.push(tenant);
        else isLasting = false;
        return tenant;
      };
      const core = noting(
        { ...base.core, tenants: noting({ ...tenants, find }, ['find'], look) },
        ['tenants'],
        look,
      );
      return {
        context: noting(
          { ...base, core, principal: noting(principal, ['role'], look) },
          ['core', 'principal'],
          look,
        ),
        remember(answer) {
          if (elsewhere.has(query) || !isLasting || body.length + answer.text.length > maxLength) return;
          answers[principal.role].set(body, { ...answer, madeOf });
        },
      };
    },
  };
}

/** The object, which notes when somebody looks at another member of it than those named. */
function noting<T extends object>(object: T, names: readonly string[], note: () => void): T {
  const known = new Set(names);
  return new Proxy(object, {
    get(target, name) {
      // Libraries keep things of theirs under symbols.
      if (typeof name === 'string' && !known.has(name)) note();
      return Reflect.get(target, name);
    },
  });
}
