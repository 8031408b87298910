import { uuid } from '../core/validation.ts';

/** What processes tell each other: that one tenant has changed, or that any may have. */
export type ChangeMessage = { readonly tenantId: string; readonly version: number } | 'all';

/** `<tenant's id> <version>`, or `all`. */
export function changeMessage(message: ChangeMessage): string {
  return message === 'all' ? message : `${message.tenantId} ${message.version}`;
}

/** What a message says, or null when it is none of ours. */
export function parseChangeMessage(text: string): ChangeMessage | null {
  if (text === 'all') return text;
  const [id = '', version = '', ...more] = text.split(' ');
  const tenantId = uuid.safeParse(id);
  if (!tenantId.success || more.length > 0 || !/^([1-9]\d{0,9}|Infinity)$/.test(version)) return null;
  return { tenantId: tenantId.data, version: Number(version) };
}
