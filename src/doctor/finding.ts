/** What is not as it should be. */
export interface Finding {
  /** The check that found it. */
  readonly check: string;
  /** In one line, what is wrong. */
  readonly what: string;
  /** What `--fix` does about it; or, in words, what somebody has to do who may decide that. */
  readonly remedy: Repair | string;
}

/** What mends something, without touching data or anybody else's. */
export interface Repair {
  /** Who may do it: the administrator of the tenant's roles, the schema's owner, or the service itself. */
  readonly as: 'role admin' | 'owner' | 'service';
  /** Statements, with {@link verifierMark} and {@link databaseMark} in them. */
  readonly sql: string;
  /** A login whose sessions end when it is done. */
  readonly ends?: string;
}

/** Stands for the verifier of a new password, which is stored with the repair, in its statements. */
export const verifierMark = ':verifier';

/** Stands for the database's name there. */
export const databaseMark = ':database';
