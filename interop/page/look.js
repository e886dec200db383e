// Opens a page in Chromium and tells what it sees, as JSON on stdout; what is right
// is for page_test.go to say. The order comes as JSON on stdin:
//
//   { browser, url, views: [{ name, width, height, scheme, phone, shot }],
//     stop, start, select, outageShot }
//
// stop and start, if set, are addresses: to GET them stops the daemon and starts it.
// Meanwhile the text with the words of select is selected.
"use strict";
const { chromium } = require("playwright-core");

// Runs inside the page.
function facts() {
  const parse = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => top.rgb.map((part, i) => part * top.alpha + below[i] * (1 - top.alpha));
  const background = (element) => {
    if (!element) return [255, 255, 255];
    return over(parse(getComputedStyle(element).backgroundColor), background(element.parentElement));
  };
  const visible = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getBoundingClientRect().width > 0;

  const texts = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data.trim()).join("");
    if (!own || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName) || !visible(element)) continue;
    const below = background(element), style = getComputedStyle(element);
    const [a, b] = [luminance(over(parse(style.color), below)), luminance(below)];
    texts.push({ text: own, contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size: parseFloat(style.fontSize) });
  }
  return {
    width: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
    summary: document.getElementById("summary").innerText,
    texts,
    // Which elements there are at all: foreign text must not make any.
    elements: [...new Set([...document.querySelectorAll("*")].map((element) => element.localName))].sort(),
    profiles: [...document.querySelectorAll("[data-profile]")].map((box) => ({
      name: box.dataset.profile,
      text: box.innerText,
      bars: [...box.querySelectorAll("meter")].map((bar) => ({
        value: bar.value, min: bar.min, max: bar.max, label: bar.getAttribute("aria-label") || "",
        visible: visible(bar) && bar.getBoundingClientRect().height >= 4,
      })),
    })),
    html: document.documentElement.outerHTML,
  };
}

async function open(browser, order, view) {
  const context = await browser.newContext({
    viewport: { width: view.width, height: view.height },
    colorScheme: view.scheme, isMobile: view.phone, hasTouch: view.phone, deviceScaleFactor: view.phone ? 2 : 1,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const seen = { name: view.name, screen: view.width, complaints: [], requests: [], bodies: [], reads: [] };
  page.on("console", (message) => seen.complaints.push(message.type() + ": " + message.text()));
  page.on("pageerror", (error) => seen.complaints.push("thrown: " + error.message));
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("response", (response) => seen.reads.push(response.text().then((text) => seen.bodies.push(text), () => {})));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.effectiveDirective + " " + event.blockedURI));
  });
  await page.goto(order.url);
  seen.drawn = await page.waitForSelector("[data-profile]", { timeout: 5000 }).then(() => true, () => false);
  Object.assign(seen, await page.evaluate(facts), { violations: await page.evaluate(() => window.violations) });
  if (view.shot) await page.screenshot({ path: view.shot, fullPage: true });
  return { page, seen };
}

async function close({ page, seen }) {
  await Promise.all(seen.reads);
  delete seen.reads;
  await page.context().close();
  return seen;
}

// The page outlives the daemon: it says so, and goes on when the daemon is there again.
async function outage(browser, order, view) {
  const opened = await open(browser, order, view);
  const told = async (address) => {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(address + ": " + (await answer.text()));
  };
  const summary = (pattern) => opened.page.waitForFunction((source) => new RegExp(source).test(document.getElementById("summary").innerText), pattern);
  await opened.page.evaluate((words) => {
    const texts = document.createTreeWalker(document.getElementById("profiles"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) if (texts.currentNode.data.includes(words)) getSelection().selectAllChildren(texts.currentNode.parentNode);
  }, order.select);
  await told(order.stop);
  await summary("does not answer");
  const during = await opened.page.evaluate(facts);
  if (view.shot) await opened.page.screenshot({ path: view.shot, fullPage: true });
  await told(order.start);
  await summary("ready");
  const selected = await opened.page.evaluate(() => getSelection().toString().trim());
  const after = await opened.page.evaluate(facts);
  opened.seen.complaints = opened.seen.complaints.filter((text) => !text.includes("ERR_CONNECTION_REFUSED"));
  return { before: await close(opened), during, after, selected };
}

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const order = JSON.parse(text);
  const browser = await chromium.launch({
    executablePath: order.browser,
    timeout: 60000,
    args: [
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []), // root cannot have Chromium's own
      "--disable-background-networking", "--disable-dev-shm-usage", "--disable-gpu",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
  try {
    const report = { views: [] };
    for (const view of order.views) report.views.push(await close(await open(browser, order, view)));
    if (order.stop) report.outage = await outage(browser, order, { ...order.views[0], shot: order.outageShot });
    process.stdout.write(JSON.stringify(report));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
