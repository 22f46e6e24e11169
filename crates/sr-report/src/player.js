"use strict";
// Play, pause, step and seek over `count` frames. `show(index)` draws a frame, `name(index)` says which it is, and
// `perSecond` frames pass in a second at speed 1. A page opened at #N starts with frame N, paused.
function player(count, perSecond, show, name) {
  const controls = document.getElementById("controls");
  const make = (tag, props) => controls.appendChild(Object.assign(document.createElement(tag), props));
  const button = (text, title, act) => {
    const made = make("button", { type: "button", textContent: text, title, onclick: act });
    made.setAttribute("aria-label", title);
    return made;
  };
  const toggle = button("Play", "Play or pause (space)", () => (playing ? pause() : play()));
  toggle.className = "toggle";
  button("|◀", "First (Home)", () => pauseAt(0));
  button("◀", "Back (←)", () => pauseAt(at - 1));
  button("▶", "Next (→)", () => pauseAt(at + 1));
  const slider = make("input", { type: "range", min: 0, max: count - 1, value: 0, step: 1 });
  slider.setAttribute("aria-label", "Position");
  slider.oninput = () => pauseAt(Number(slider.value));
  const output = make("output", {});
  const speed = make("select", { title: "Speed" });
  speed.setAttribute("aria-label", "Speed");
  for (const factor of [0.25, 0.5, 1, 2, 4, 8]) speed.add(new Option(`${factor}×`, factor, factor === 1, factor === 1));

  let at = 0, playing = false, before = 0, due = 0;
  function go(index) {
    at = Math.max(0, Math.min(count - 1, index));
    slider.value = at;
    output.textContent = name(at);
    show(at);
  }
  function pause() {
    playing = false;
    toggle.textContent = "Play";
  }
  function pauseAt(index) {
    pause();
    go(index);
  }
  function play() {
    if (at === count - 1) go(0);
    playing = true;
    before = 0;
    due = 0;
    toggle.textContent = "Pause";
    requestAnimationFrame(tick);
  }
  function tick(now) {
    if (!playing) return;
    if (before) due += ((now - before) / 1000) * perSecond * Number(speed.value);
    before = now;
    if (due >= 1) {
      go(at + Math.floor(due));
      due %= 1;
    }
    if (at === count - 1) pause();
    else requestAnimationFrame(tick);
  }
  document.addEventListener("keydown", (event) => {
    const tag = event.target.tagName;
    if (event.ctrlKey || event.metaKey || event.altKey || tag === "SELECT") return;
    const acts = {
      " ": () => (playing ? pause() : play()),
      ArrowRight: () => pauseAt(at + 1),
      ArrowLeft: () => pauseAt(at - 1),
      Home: () => pauseAt(0),
      End: () => pauseAt(count - 1),
    };
    // A button that has the focus is pressed by the space bar itself.
    if (!acts[event.key] || (event.key === " " && tag === "BUTTON")) return;
    event.preventDefault();
    acts[event.key]();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(at));
  const asked = /^#(\d+)$/.exec(location.hash);
  go(asked ? Number(asked[1]) : 0);
  if (!asked && !matchMedia("(prefers-reduced-motion: reduce)").matches) play();
}

const SVG = "http://www.w3.org/2000/svg";
function draw(parent, tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}

// A number in few characters.
function brief(value) {
  if (value === null) return "invalid";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2).replace("e+", "e") : String(Number(value.toPrecision(4)));
}

// Round numbers from `low` to `high`, about `count` of them.
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// An empty plot in `parent` with axes; gives the layer to draw in and the places of numbers.
// `axis` is { low, high, ticks: [[number, text]], name }.
function plot(parent, x, y, width = 560, height = 340) {
  const box = { left: 62, right: width - 14, top: 10, bottom: height - 40 };
  const svg = draw(parent, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const px = (value) => box.left + ((value - x.low) / (x.high - x.low)) * (box.right - box.left);
  const py = (value) => box.bottom - ((value - y.low) / (y.high - y.low)) * (box.bottom - box.top);
  for (const [value, text] of x.ticks) {
    draw(svg, "line", { x1: px(value), x2: px(value), y1: box.top, y2: box.bottom, class: "grid" });
    draw(svg, "text", { x: px(value), y: box.bottom + 16, "text-anchor": "middle" }, text);
  }
  for (const [value, text] of y.ticks) {
    draw(svg, "line", { x1: box.left, x2: box.right, y1: py(value), y2: py(value), class: "grid" });
    draw(svg, "text", { x: box.left - 6, y: py(value) + 4, "text-anchor": "end" }, text);
  }
  draw(svg, "text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, x.name);
  const middle = (box.top + box.bottom) / 2;
  draw(svg, "text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, y.name);
  const layer = draw(svg, "g", {});
  const clip = `clip-${document.getElementsByTagName("clipPath").length}`;
  const path = draw(svg, "clipPath", { id: clip });
  draw(path, "rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top });
  layer.setAttribute("clip-path", `url(#${clip})`);
  return { layer, px, py, box };
}

// An axis over numbers, with a margin.
function linear(values, name) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(low < high)) [low, high] = [low - 0.5 - Math.abs(low) / 2 || -1, high + 0.5 + Math.abs(high) / 2 || 1];
  const margin = 0.06 * (high - low);
  const axis = { low: low - margin, high: high + margin, name };
  axis.ticks = ticks(axis.low, axis.high, 6).map((value) => [value, brief(value)]);
  return axis;
}

// The d of a path through points; null breaks it.
function trace(points) {
  let d = "", pen = "M";
  for (const point of points) {
    if (point === null) pen = "M";
    else {
      d += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
      pen = "L";
    }
  }
  return d;
}
