import { openStreams, type StreamsRequest } from '../streams.ts';
import { tell, told } from '../told.ts';

// Opens as many streams as it is told to, again and again, and keeps them.

const request = await told<StreamsRequest>();
process.on('message', async (count) => {
  await openStreams(request, Number(count), () => {});
  tell('open');
});
tell('ready');
