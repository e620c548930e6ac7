// The npm package faye as a client; or the one in jsforce, which Salesforce's users have.
// node faye_client.mjs faye|jsforce URL TRANSPORT
import { createRequire } from 'node:module';
import { obey, say, version } from './lines.mjs';

const [name, url, transport] = process.argv.slice(2);

const load = createRequire(import.meta.url);
const create = {
  faye() {
    const faye = load('faye');
    // Seconds between attempts.
    return new faye.Client(url, { retry: 1 });
  },
  jsforce() {
    const jsforce = load('jsforce');
    const { StreamingExtension } = load('jsforce/api/streaming');
    const connection = new jsforce.Connection({ instanceUrl: new URL(url).origin, accessToken: 'TOKEN', version: '58.0' });
    return connection.streaming.createClient([
      // It takes the end of a session for a token that is not good any more.
      new StreamingExtension.AuthFailure((reply) => say('no more', reply)),
      // From now on: what the server does anyway.
      new StreamingExtension.Replay('/any/channel', -1),
    ]);
  },
};
// (Not to be awaited: a client is a promise of its handshake.)
const client = create[name]();
if (transport === 'long-polling') client.disable('websocket');
client.addExtension({
  incoming(message, pass) {
    if (message.channel === '/meta/handshake') say('handshake', message);
    pass(message);
  },
});

const outcome = (kind, promise, fields) =>
  promise.then(
    () => say(kind, { successful: true, ...fields }),
    (error) => say(kind, { successful: false, error: String(error?.message ?? error), ...fields }),
  );

say('ready', { version: version(name) });
client.connect();

await obey({
  subscribe({ channel: pattern }) {
    // It subscribes again by itself.
    const subscription = client.subscribe(pattern).withChannel((channel, data) => say('message', { channel, data }));
    outcome('subscribe', subscription, { subscription: pattern });
  },
  publish({ channel, data }) {
    outcome('publish', client.publish(channel, data), { channel });
  },
  disconnect() {
    outcome('disconnect', client.disconnect());
  },
});
