// A headless Chromium, told what to do on standard input, saying what happens on standard output.
// node page.mjs URL [FLAGS OF CHROMIUM]
import { chromium } from 'playwright-core';
import { obey, say } from './lines.mjs';

const [url, ...flags] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  headless: true,
  chromiumSandbox: false,
  args: ['--disable-gpu', '--disable-dev-shm-usage', ...flags],
});
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
page.setDefaultTimeout(20_000);
page.on('pageerror', (error) => say('failed', { error: String(error) }));
page.on('console', (message) => say('console', { type: message.type(), text: message.text() }));
await page.goto(url);
say('open', { title: await page.title() });

await obey({
  // The element with this text in it, when it is there.
  async wait({ selector, text }) {
    const found = page.locator(selector, text === undefined ? {} : { hasText: text }).first();
    await found.waitFor({ state: 'attached' });
    say('found', { selector, text: await found.innerText() });
  },
  async fill({ selector, value }) {
    await page.fill(selector, value);
  },
  async press({ selector, key }) {
    await page.press(selector, key);
  },
  async click({ selector }) {
    await page.click(selector);
  },
  async screenshot({ path }) {
    await page.screenshot({ path });
    say('screenshot', { path });
  },
});
await browser.close();
