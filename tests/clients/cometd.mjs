// A page without a browser: the npm package cometd.
// node cometd.mjs PACKAGE URL TRANSPORT [EXTENSION…]
import { createRequire } from 'node:module';
import { obey, say, version } from './lines.mjs';

const [name, url, transport, ...given] = process.argv.slice(2);
const extensions = given.filter(Boolean);

const EXTENSIONS = { ack: 'Ack', timesync: 'TimeSync', timestamp: 'TimeStamp', binary: 'Binary' };

// The library expects a browser's XMLHttpRequest and WebSocket when it is loaded.
const ADAPTERS = { cometd: 'cometd-nodejs-client', cometd7: 'cometd-nodejs-client1', cometd5: 'cometd-nodejs-client1', cometd3: 'cometd-nodejs-client1.0' };
const require = createRequire(import.meta.url);
const load = async (path) => (name === 'cometd' ? import(path) : require(path));
(await load(ADAPTERS[name])).adapt();
const loaded = await load(name);
const CometD = loaded.CometD ?? loaded;

const cometd = new CometD();
for (const type of cometd.getTransportTypes()) {
  const wanted = transport === 'any' ? ['websocket', 'long-polling'] : [transport];
  if (!wanted.includes(type)) cometd.unregisterTransport(type);
}
for (const extension of extensions) {
  const known = `${EXTENSIONS[extension]}Extension`;
  const loaded = await load(`${name}/${known}.js`);
  cometd.registerExtension(extension, new (loaded[known] ?? loaded)());
}
cometd.configure({ url, logLevel: 'error' });
cometd.onListenerException = (error) => say('failed', { error: String(error?.stack ?? error) });

// What a message of bytes holds, so that it can be said.
const bytes = ({ data, last, meta }) => ({ bytes: [...new Uint8Array(data)], last, meta });
const subscriptions = new Map();
const subscribe = (channel) => {
  const heard = ({ channel, data, ext }) => say('message', { channel, data: ext?.binary ? bytes(data) : data });
  subscriptions.set(channel, cometd.subscribe(channel, heard, (reply) => say('subscribe', reply)));
};
cometd.addListener('/meta/handshake', (reply) => {
  say('handshake', reply);
  // A new session knows nothing of the subscriptions of the old one.
  if (reply.successful) cometd.batch(() => [...subscriptions.keys()].forEach(subscribe));
});

cometd.addListener('/meta/connect', (reply) => say('connect', reply));

say('ready', { version: version(name) });
cometd.handshake();

await obey({
  subscribe: ({ channel }) => subscribe(channel),
  unsubscribe({ channel }) {
    cometd.unsubscribe(subscriptions.get(channel), (reply) => say('unsubscribe', reply));
    subscriptions.delete(channel);
  },
  publish: ({ channel, data }) => cometd.publish(channel, data, (reply) => say('publish', reply)),
  call: ({ target, data, timeout }) => cometd.remoteCall(target, data, timeout, (reply) => say('answer', reply)),
  // An array of numbers, as bytes.
  publishBinary({ channel, data, meta }) {
    cometd.publishBinary(channel, new Uint8Array(data), true, meta, (reply) => say('publish', reply));
  },
  clock() {
    const sync = cometd.getExtension('timesync');
    say('clock', { offset: sync.getTimeOffset(), lag: sync.getNetworkLag() });
  },
  disconnect: () => cometd.disconnect((reply) => say('disconnect', reply)),
});
