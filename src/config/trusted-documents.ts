import { readFileSync } from 'node:fs';
import { z } from 'zod';

const manifest = z.record(z.string().min(1), z.string().min(1));

/** Documents by their ids, from a file that holds `{"id": "document", …}`, as GraphQL Code Generator and Relay write it. */
export const trustedDocuments: z.ZodType<ReadonlyMap<string, string>, string> = z
  .string()
  .transform((path, issues) => {
    const complain = (message: string) => {
      issues.addIssue({ code: 'custom', message });
      return new Map<string, string>();
    };
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch {
      return complain('it cannot be read');
    }
    try {
      return new Map(Object.entries(manifest.parse(JSON.parse(text))));
    } catch {
      return complain('it is not of that form');
    }
  });
