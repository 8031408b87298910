/**
 * `make`, whose answers are remembered for as long as the objects that they were made of: for objects that nobody changes
 * and that come again, such as tenants from the cache.
 */
export function rememberedBy<Key extends object, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const known = new WeakMap<Key, { readonly value: Value }>();
  return (key) => {
    const entry = known.get(key) ?? { value: make(key) };
    known.set(key, entry);
    return entry.value;
  };
}
