import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Actor, Caller, Role, Tenant } from '../core/model.ts';
import type { TenantQuery } from '../core/ports.ts';
import type { Tenants } from '../core/tenants.ts';
import type { GraphqlContext } from '../schema/context.ts';
import type { HotQuery } from './hot-queries.ts';
import type { Variables } from './plain-request.ts';

/** As many answers are remembered for each role, and as many characters of them with their requests. */
const maxAnswers = 10_000;
const maxCharacters = 16 * 1024 * 1024;
/** A longer body, and a longer answer, is not remembered, characters. */
const maxBody = 4_096;
const maxText = 64 * 1024;
/**
 * How long an answer with a page is remembered, milliseconds: a standby that takes over from its server may give out the
 * numbers of transactions once more by which pages are known again.
 */
const pagesMs = 60_000;

/** A query with what it counts and is given. */
export interface Task {
  readonly query: HotQuery;
  /** How many objects it counts. */
  readonly objects: number;
  readonly variables: Variables;
}

/** An answer, and what it was made of. */
export interface RememberedAnswer extends Task {
  readonly text: string;
  readonly tenants: readonly Tenant[];
  readonly pages: readonly RememberedPage[];
}

interface RememberedPage {
  readonly query: TenantQuery;
  readonly revision: string;
}

/** An execution of which it is known what it was made of. */
export interface Observation {
  readonly context: GraphqlContext;
  /** Remembers its answer, if that was made of nothing but what is known again. */
  remember(task: Task, text: string): void;
}

/**
 * Answers to queries, by the role that asked and the whole body of the request. One that was made of remembered tenants
 * and of pages of tenants alone would be the same if it were made again, as long as the cache answers with the same
 * objects, and the database says that the pages have the same revisions: it is as fresh as a new one. What else an
 * execution looks at is observed; one that looked at anything but single tenants, pages of them, and the role, is not
 * remembered.
 */
export function createRememberedAnswers(base: Omit<GraphqlContext, 'principal'>) {
  const { tenants } = base.core;
  const answers: Record<Role, LRUCache<string, RememberedAnswer>> = {
    viewer: createAnswers(),
    editor: createAnswers(),
    admin: createAnswers(),
  };
  /** Digests of bodies that came once: what is not asked again is not worth observing, nor is it kept. */
  const once = new LRUCache<string, true>({ max: maxAnswers });
  /** Queries that look at something else each time. */
  const elsewhere = new WeakSet<HotQuery>();

  return {
    /** The answer, which is the one that would be made now if {@link isCurrent} says so of its pages; null without one. */
    find(role: Role, body: string): RememberedAnswer | null {
      const entry = answers[role].get(body);
      if (entry === undefined) return null;
      return entry.tenants.every((tenant) => tenants.peek(tenant.id) === tenant) ? entry : null;
    },

    /** Whether all pages of an answer are as they were. @throws {UnavailableError} when that cannot be found out */
    async isCurrent({ pages }: RememberedAnswer): Promise<boolean> {
      const revisions = await Promise.all(pages.map(({ query }) => tenants.revision(query)));
      return pages.every(({ revision }, index) => revision === revisions[index]);
    },

    /** What to execute a query with; null when it is not worth observing. */
    observe(query: HotQuery, principal: Actor & Caller, body: string): Observation | null {
      if (elsewhere.has(query) || body.length > maxBody) return null;
      const digest = hash('sha256', body, 'base64');
      if (!once.has(digest)) {
        once.set(digest, true);
        return null;
      }
      const found: Tenant[] = [];
      const pages: RememberedPage[] = [];
      let isLasting = true;
      const look = () => {
        elsewhere.add(query);
      };
      const find: Tenants['find'] = async (id, deleted) => {
        const tenant = await tenants.find(id, deleted);
        if (tenant !== null && tenants.peek(tenant.id) === tenant) found.push(tenant);
        else isLasting = false;
        return tenant;
      };
      const list: Tenants['list'] = async (query, selection) => {
        const page = await tenants.list(query, selection);
        // An address is kept nowhere in the clear, not even as what was asked for.
        if (page.revision === null || query.filter.contactEmail != null) isLasting = false;
        else pages.push({ query, revision: page.revision });
        return page;
      };
      const core = noting(
        { ...base.core, tenants: noting({ ...tenants, find, list }, ['find', 'list'], look) },
        ['tenants'],
        look,
      );
      return {
        context: noting(
          { ...base, core, principal: noting(principal, ['role'], look) },
          ['core', 'principal'],
          look,
        ),
        remember(task, text) {
          if (elsewhere.has(query) || !isLasting || text.length > maxText) return;
          const ttl = pages.length > 0 ? pagesMs : 0;
          answers[principal.role].set(body, { ...task, text, tenants: found, pages }, { ttl });
        },
      };
    },
  };
}

function createAnswers(): LRUCache<string, RememberedAnswer> {
  return new LRUCache({
    max: maxAnswers,
    maxSize: maxCharacters,
    sizeCalculation: ({ text }, body) => body.length + text.length,
  });
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
