// Node's own HTTP/2 client: a handshake, polls that are held together on one connection, and a WebSocket's stream (RFC 8441).
// node http2.mjs URL CA
import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { say } from './lines.mjs';

const [url, ca] = process.argv.slice(2);

const session = connect(url, { ca: readFileSync(ca) });
session.on('error', (error) => say('failed', { error: String(error) }));
session.on('goaway', (code) => say('goaway', { code }));

const post = (message) =>
  new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': '/cometd', 'content-type': 'application/json' });
    let body = '';
    stream.setEncoding('utf8');
    stream.on('data', (text) => (body += text));
    stream.on('end', () => resolve(JSON.parse(body)));
    stream.on('error', reject);
    stream.end(JSON.stringify([message]));
  });

const supportedConnectionTypes = ['long-polling'];
const open = async (channel) => {
  const [{ clientId }] = await post({ channel: '/meta/handshake', version: '1.0', supportedConnectionTypes, id: '1' });
  const connect = { channel: '/meta/connect', connectionType: 'long-polling', clientId, id: '2' };
  await post({ ...connect, advice: { timeout: 0 } });
  await post({ channel: '/meta/subscribe', subscription: channel, clientId, id: '3' });
  return { clientId, poll: post(connect) };
};

try {
  const clients = await Promise.all(Array.from({ length: 20 }, (_, n) => open(`/chat/${n}`)));
  const { clientId } = clients[0];
  const published = await Promise.all(
    clients.map((_, n) => post({ channel: `/chat/${n}`, data: { n, text: 'é' }, clientId, id: `p${n}` })),
  );
  const heard = await Promise.all(clients.map(({ poll }) => poll));
  say('polls', {
    published: published.every((replies) => replies.some((reply) => reply.successful)),
    heard: heard.map((replies) => replies.filter(({ data }) => data).map(({ data }) => data.n)),
  });
  say('settings', { connect: session.remoteSettings.enableConnectProtocol });
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':path': '/cometd',
    'sec-websocket-version': '13',
  });
  stream.on('response', (headers) => {
    say('stream', { status: headers[':status'] });
    stream.close();
  });
} catch (error) {
  say('failed', { error: String(error?.stack ?? error) });
}
