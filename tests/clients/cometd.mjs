// A page without a browser: the npm package cometd, told what to do on standard input, saying what happens on standard output.
// node cometd.mjs URL TRANSPORT
import { adapt } from 'cometd-nodejs-client';
import { createInterface } from 'node:readline';

adapt();
const { CometD } = await import('cometd');

const [url, transport] = process.argv.slice(2);
const say = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');

const cometd = new CometD();
for (const type of cometd.getTransportTypes()) {
  if (type !== transport) cometd.unregisterTransport(type);
}
cometd.configure({ url, logLevel: 'error' });
cometd.onListenerException = (error) => say('failed', { error: String(error?.stack ?? error) });
// After a re-handshake too.
cometd.addListener('/meta/handshake', (reply) => say('handshake', reply));

const subscriptions = new Map();
const commands = {
  subscribe({ channel }) {
    const heard = ({ channel, data }) => say('message', { channel, data });
    subscriptions.set(channel, cometd.subscribe(channel, heard, (reply) => say('subscribe', reply)));
  },
  unsubscribe({ channel }) {
    cometd.unsubscribe(subscriptions.get(channel), (reply) => say('unsubscribe', reply));
  },
  publish({ channel, data }) {
    cometd.publish(channel, data, (reply) => say('publish', reply));
  },
  disconnect() {
    cometd.disconnect((reply) => say('disconnect', reply));
  },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
cometd.handshake();
