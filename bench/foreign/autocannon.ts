import autocannon from 'autocannon';
import type { HttpLoad } from '../load/http-load.ts';
import type { Measured } from '../load/measured.ts';
import { tell, told } from '../told.ts';

// The load of load/http-load.ts where there is no wrk.

const { port, token, bodies, expected, seconds, connections } = await told<HttpLoad>();
let wrong = 0;
let asked = 0;
const result = await autocannon({
  url: `http://127.0.0.1:${port}/graphql`,
  connections,
  duration: seconds,
  requests: [
    {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json',
      },
      setupRequest(request) {
        const body = bodies[asked % bodies.length] ?? '';
        asked += 1;
        return { ...request, body: body.replaceAll('{n}', String(asked).padStart(12, '0')) };
      },
      onResponse(status, body) {
        const isRight =
          status === 200 && !body.includes('"errors"') && expected.every((text) => body.includes(text));
        if (!isRight) wrong += 1;
      },
    },
  ],
});
const answers = result.requests.total - wrong;
const measured: Measured = {
  answers,
  perSecond: answers / result.duration,
  errors: result.errors + result.timeouts + wrong,
};
tell(measured);
