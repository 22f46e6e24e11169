// Opens pages of sr-report in a headless Chromium: node scripts/report-check.mjs FOLDER PAGE…
//
// It checks that nothing is fetched and no error is told, that tables sort and filter, that points are told to a pointer and
// to the keys, that formulas and tabs can be chosen, and writes pictures in light, dark, narrow and on paper into FOLDER.
// CHROMIUM names the browser; playwright-core is looked for where NODE_PATH says.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import assert from "node:assert/strict";

const { chromium } = createRequire(resolve(process.env.NODE_PATH ?? ".", "here"))("playwright-core");
const [folder, ...pages] = process.argv.slice(2);
assert(folder && pages.length > 0, "usage: report-check.mjs FOLDER PAGE…");
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

for (const path of pages) {
  const name = join(folder, basename(path, ".html")), url = pathToFileURL(resolve(path)).href;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  const told = [], fetched = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && told.push(message.text()));
  page.on("pageerror", (error) => told.push(String(error)));
  page.on("request", (request) => request.url() !== url && fetched.push(request.url()));
  await page.goto(url);
  await page.screenshot({ path: `${name}-light.png`, fullPage: true });

  const tabs = await page.locator("[role=tab]").count();
  for (let tab = 0; tab < Math.max(tabs, 1); tab += 1) {
    if (tab > 0) {
      await page.locator("[role=tab]").nth(tab - 1).focus();
      await page.keyboard.press("ArrowRight");
      assert.equal(await page.locator("[role=tab]").nth(tab).getAttribute("aria-selected"), "true");
      await page.screenshot({ path: `${name}-tab-${tab}.png`, fullPage: true });
    }
    const section = page.locator("main > section:visible");
    assert.equal(await section.count(), 1, "one section is shown at a time");
    await checkTables(section);
    await checkCharts(page, section, `${name}-tip-${tab}.png`);
    await checkFormulas(section);
  }
  const { wide, window } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, window: innerWidth }));
  assert(wide <= window, `the page is ${wide} wide in a window of ${window}`);

  await page.reload();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${name}-dark.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 800 });
  await page.screenshot({ path: `${name}-narrow.png`, fullPage: true });
  const narrow = await page.evaluate(() => document.documentElement.scrollWidth);
  assert(narrow <= 390, `the page is ${narrow} wide on a telephone`);
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.pdf({ path: `${name}.pdf`, format: "A4", printBackground: true, margin: { top: "12mm", bottom: "12mm", left: "12mm", right: "12mm" } });
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.locator("main > section:visible").count(), Math.max(tabs, 1), "all sections are printed");
  assert.deepEqual(fetched, [], "a page fetches nothing");
  assert.deepEqual(told, [], "the console is empty");
  await context.close();

  // Without a script all sections, charts and tables are there.
  const plain = await browser.newContext({ javaScriptEnabled: false });
  const still = await plain.newPage();
  await still.goto(url);
  assert.equal(await still.locator("main > section:visible").count(), Math.max(tabs, 1));
  await plain.close();
  console.log(`${path}: right`);
}
await browser.close();

async function checkTables(section) {
  for (const table of await section.locator(".table").all()) {
    const rows = () => table.locator("tbody tr:visible").count();
    const before = await rows();
    for (const title of await table.locator("th").all()) {
      const column = await title.evaluate((cell) => cell.cellIndex);
      const keys = () =>
        table.locator("tbody tr").evaluateAll((rows, column) => rows.map((row) => row.cells[column].dataset.key), column);
      for (const order of ["ascending", "descending"]) {
        await title.locator("button").click();
        assert.equal(await title.getAttribute("aria-sort"), order);
        const found = (await keys()).filter((key) => key !== undefined).map(Number);
        const sign = order === "ascending" ? 1 : -1;
        assert.deepEqual(found, found.slice().sort((a, b) => sign * (a - b)), `column ${column} is sorted`);
      }
    }
    if ((await table.locator("input").count()) === 0) continue; // a small table
    await table.locator("input").fill("no row has these words");
    assert.equal(await rows(), 0);
    assert.match(await table.locator("output").textContent(), /^0 of \d+ rows$/);
    await table.locator("input").fill("");
    assert.equal(await rows(), before);
  }
}

async function checkCharts(page, section, picture) {
  for (const [number, chart] of (await section.locator(".chart").all()).entries()) {
    const plot = chart.locator(".plot"), tip = chart.locator(".tip");
    assert(((await plot.getAttribute("aria-label")) ?? "").length > 20, "a chart has a text");
    await plot.focus();
    await page.keyboard.press("ArrowRight");
    const first = await tip.textContent();
    assert(await tip.isVisible() && first.length > 3, "the keys tell a point");
    assert.equal(await plot.getAttribute("aria-label"), first);
    await page.keyboard.press("Escape");
    assert(!(await tip.isVisible()));
    // The pointer at the place of the first point of the last series.
    const place = await chart.evaluate((chart) => {
      const series = JSON.parse(chart.querySelector("script").textContent).filter(({ points }) => points.length > 0);
      const svg = chart.querySelector("svg"), box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
      const [x, y] = series.at(-1).points[0];
      return { x: x * scale, y: y * scale };
    });
    await plot.hover({ position: { x: place.x + 1, y: place.y + 1 } });
    assert(await tip.isVisible(), "the pointer tells a point");
    if (number === 0) await page.screenshot({ path: picture });
    const legend = chart.locator(".legend button").first();
    if ((await legend.count()) > 0) {
      const index = await legend.getAttribute("data-series");
      const line = chart.locator(`g[data-series="${index}"]`);
      await legend.click();
      assert.equal(await legend.getAttribute("aria-pressed"), "false");
      assert(!(await line.isVisible()), "a line is switched off");
      await legend.click();
      assert.equal(await legend.getAttribute("aria-pressed"), "true");
    }
  }
}

async function checkFormulas(section) {
  const buttons = await section.locator(".show").all();
  for (const button of buttons.slice(0, 3)) {
    await button.click();
    const number = await button.evaluate((button) => button.closest("tr").dataset.formula);
    const shown = section.locator(".formula:visible");
    assert.equal(await shown.count(), 1);
    assert((await shown.getAttribute("id")).endsWith(`f${number}`), "the formula of the row is shown");
  }
}
