// Commands on standard input, events on standard output, a line of JSON each.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

// (What CometD says of a failure besides holds sockets and the like.)
export const say = (event, { failure, ...fields }) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');

// The version of an npm package that is installed here.
export const version = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;

// Does what it is told until there is no more.
export const obey = async (commands) => {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    try {
      await commands[command.do](command);
    } catch (error) {
      say('failed', { command, error: String(error?.stack ?? error) });
    }
  }
};

process.on('uncaughtException', (error) => say('failed', { error: String(error?.stack ?? error) }));
