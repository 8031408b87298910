// The advisory locks of the project: numbers that no other software on the database is likely to take.

/** Held by the one process that migrates. */
export const migrationLock = 7_264_190_523;

/** Held as long as the transaction of a migration script lasts, which is longer than a killed process does. */
export const scriptLock = 7_264_190_524;
