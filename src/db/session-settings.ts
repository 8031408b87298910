/**
 * SQL that gives a connection of a pool its settings: nobody who waits for a lock, stops in the middle of a transaction,
 * or died holds up the others for ever. (A server on Windows cannot tell that a client died.)
 * @param lockTimeoutMs how long a statement waits for a lock, milliseconds
 */
export function sessionSettings(lockTimeoutMs = 15_000): string {
  return `
    SET lock_timeout = ${lockTimeoutMs};
    SET idle_in_transaction_session_timeout = '60s';
    SELECT set_config('client_connection_check_interval', '2s', false) WHERE version() !~* 'visual c|mingw'`;
}
