/** A configuration that cannot be used. Its message is one printable line and never holds a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Quotes text from outside for a message: one line, printable, cut after 60 characters.
 * Never give it a secret.
 */
export function quoted(text: string): string {
  const cut = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(cut).replace(/[\p{C}\p{Z}]/gu, (c) => (c === ' ' ? c : '\uFFFD'));
}
