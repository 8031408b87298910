import type { Builder } from './builder.ts';

// The rules of the values are core's; what breaks them comes back as a ValidationError in the result.

export function addCreateTenantInput(builder: Builder) {
  return builder.inputType('CreateTenantInput', {
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 100 characters.' }),
      subdomain: t.string({ required: true, description: 'A DNS label that no other live tenant has.' }),
      contactEmail: t.string({ required: true }),
      tier: t.string({ description: '`standard` when absent.' }),
      idempotencyKey: t.string({
        description:
          'A repeated request with the same key and input answers with what the first one made, for 24 hours.',
      }),
    }),
  });
}

export function addUpdateTenantInput(builder: Builder) {
  return builder.inputType('UpdateTenantInput', {
    description: 'What is absent or null stays as it is.',
    fields: (t) => ({
      id: t.id({ required: true }),
      expectedVersion: t.int({
        description: 'Refuses the change when the tenant has another version by now.',
      }),
      name: t.string(),
      subdomain: t.string(),
      contactEmail: t.string(),
      tier: t.string(),
    }),
  });
}
