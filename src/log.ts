import { type Logger, pino } from 'pino';
import type { Config } from './config.ts';
import { SealedValueError } from './core/errors.ts';

/**
 * The process's log, a JSON line per message on standard output. Of an error only what tells what happened is logged:
 * drivers hang whole connections and statements with their parameters on theirs.
 */
export function createLog(level: Config['logLevel'], destination?: pino.DestinationStream): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: describe } },
    destination ?? pino.destination(1),
  );
}

function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack, cause } = error;
  const code: unknown = Reflect.get(error, 'code');
  return {
    name,
    message,
    stack,
    ...(code !== undefined && { code }),
    ...(error instanceof SealedValueError && { keyId: error.keyId, tenantId: error.tenantId }),
    ...(cause !== undefined && { cause: describe(cause) }),
  };
}
