// node demo.mjs MODULES URL GREEN.png SCREENSHOT: uses the page as a user does, and prints its contents as JSON.
import {createRequire} from 'node:module';
import path from 'node:path';
const [, , modules, url, image, screenshot] = process.argv;
const {chromium} = createRequire(path.join(modules, 'x.js'))('playwright-core');

const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', chromiumSandbox: false, args: ['--disable-gpu']});
try {
  const page = await browser.newPage();
  const externalRequests = [], pageErrors = [];
  page.on('request', request => { if (!/^(blob:|data:)/.test(request.url()) && !request.url().startsWith(url)) externalRequests.push(request.url()); });
  page.on('pageerror', error => pageErrors.push(error.message));
  await page.goto(url);
  await page.waitForFunction('document.body.dataset.ready', null, {timeout: 60000});
  const readError = () => page.textContent('#error');
  const readRows = () => page.$$eval('.row', rows => rows.map(row => [row.querySelector('.label').textContent, row.querySelector('.score').textContent, row.querySelector('.bar').getBoundingClientRect().width]));
  const result = {ready: await page.evaluate('document.body.dataset.ready'), name: await page.textContent('#name'), error: await readError()};
  if (result.ready === 'yes') {
    await page.setInputFiles('#file', image);
    await page.waitForSelector('.row');
    result.imageRows = await readRows();
    result.time = await page.textContent('#time');
    result.mask = await page.evaluate(() => [...document.getElementById('mask').getContext('2d').getImageData(9, 9, 1, 1).data]);
    await page.screenshot({path: screenshot});
    await page.click('#clear');
    result.rowsAfterClear = (await readRows()).length;
    result.maskAfterClear = await page.evaluate(() => [...document.getElementById('mask').getContext('2d').getImageData(9, 9, 1, 1).data]);
    const box = await (await page.$('#image')).boundingBox();
    await page.mouse.move(box.x + 60, box.y + 140);
    await page.mouse.down();
    for (let y = 10; y < 280; y += 15) await page.mouse.move(box.x + 280 * ((y / 15) % 2), box.y + y, {steps: 4});
    await page.mouse.up();
    await page.waitForSelector('.row');
    result.drawingRows = await readRows();
    await page.setInputFiles('#file', {name: 'notes.txt', mimeType: 'image/png', buffer: Buffer.from('no image')});
    await page.waitForFunction("document.getElementById('error').textContent");
    result.fileError = await readError();
  }
  console.log(JSON.stringify({...result, externalRequests, pageErrors}));
} finally { await browser.close(); }
