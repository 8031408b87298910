// An entry is `<version> <tenant as JSON>`. `<version>` alone says that the tenant has changed to that, `Infinity` that a
// change is being committed.

/** KEYS: the tenant's. ARGV: version, entry, time to live. Stores what is read, unless what is there is newer. */
export const storeScript = `
local kept = redis.call('GET', KEYS[1])
if kept == 'Infinity' or (kept and (tonumber(string.match(kept, '^%d+')) or 0) > tonumber(ARGV[1])) then return end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])`;

/**
 * KEYS: the tenant's. ARGV: version, time to live, channel, message. Puts the version in the place of what is older, and
 * tells everybody; in one script, so that whoever hears of it does not find the old entry any more.
 */
export const outdateScript = `
local kept = redis.call('GET', KEYS[1])
local version = kept and tonumber(string.match(kept, '^%d+'))
if ARGV[1] == 'Infinity' or not version or version < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
redis.call('PUBLISH', ARGV[3], ARGV[4])`;
