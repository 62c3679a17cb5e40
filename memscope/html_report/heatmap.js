// The heatmap: one canvas as large as what is in sight, in a box that scrolls.

const heatmap = $("heatmap"), canvas = $("canvas");
const ROW = 22, HEADER = 46;
const cursor = { m: 0, r: 0 };
let order = [], open = null, colours = {}, hovered = null, frame = 0;

const cellWidth = () => $("numbers").checked ? 50 : 22;
const gutter = () => Math.min(320, Math.max(130, Math.round(heatmap.clientWidth * 0.36)));

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["base", "surface", "panel", "text", "faint", "accent", "error"];
  for (let n = 1; n <= LEVELS; n++) names.push(`pos${n}`, `neg${n}`);
  colours = Object.fromEntries(names.map((each) => [each, style.getPropertyValue(`--${each}`).trim()]));
}

/** The text colour that can be read on a colour `#rrggbb`. */
function readable(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return red * 0.299 + green * 0.587 + blue * 0.114 > 140 ? "#14161a" : "#ffffff";
}

/** One cell. The sign is told without colour: what is negative is striped. */
function drawCell(pen, x, y, width, height, state, value, noisy, numbers) {
  if (state === IMPOSSIBLE) return;
  pen.fillStyle = colours.surface;
  pen.fillRect(x, y, width, height);
  const middle = y + height / 2 + 1;
  const write = (text, colour) => {
    pen.fillStyle = colour;
    pen.fillText(text, x + width / 2, middle);
  };
  pen.textAlign = "center";
  if (state !== SCORED) {
    if (state !== FAILED) return write(state === RUNNING ? "…" : "/", colours.faint);
    pen.strokeStyle = colours.error;
    pen.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
    return write("?", colours.error);
  }
  const strength = level(value, head.extent, head.important);
  const sign = strength < 0 ? "neg" : "pos";
  const fill = strength && !noisy ? colours[sign + Math.abs(strength)] : colours.surface;
  pen.fillStyle = fill;
  pen.fillRect(x, y, width, height);
  if (numbers) {
    return write((noisy ? "~" : "") + signed(value, Math.abs(value) < 99.95 ? 1 : 0), readable(fill));
  }
  if (noisy && Math.abs(value) > head.important) return write("~", colours.faint);
  if (!strength) return write("·", colours.faint);
  if (strength < 0) {
    pen.fillStyle = strength === -1 ? colours.neg3 : readable(fill);
    for (const at of [0.25, 0.5, 0.75]) pen.fillRect(x + 3, Math.round(y + height * at) - 0.5, width - 6, 1);
  }
}

function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  const characters = Array.from(text.slice(0, 400));
  let low = 0, high = characters.length;
  while (low < high) {
    const half = (low + high + 1) >> 1;
    const fits = pen.measureText(characters.slice(0, half).join("") + "…").width <= width;
    if (fits) low = half; else high = half - 1;
  }
  return characters.slice(0, low).join("") + "…";
}

function draw() {
  frame = 0;
  const ratio = devicePixelRatio || 1, width = heatmap.clientWidth, height = heatmap.clientHeight;
  const pen = canvas.getContext("2d");
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.textBaseline = "middle";
  pen.fillStyle = colours.base;
  pen.fillRect(0, 0, width, height);
  const left = gutter(), wide = cellWidth(), numbers = $("numbers").checked;
  const dx = heatmap.scrollLeft, dy = heatmap.scrollTop;
  const first = Math.floor(dx / wide), last = Math.min(R, Math.ceil((dx + width - left) / wide));
  const top = Math.floor(dy / ROW), bottom = Math.min(order.length, Math.ceil((dy + height - HEADER) / ROW));

  pen.save();
  pen.beginPath();
  pen.rect(left, HEADER, width - left, height - HEADER);
  pen.clip();
  pen.font = `${numbers ? 11 : 12}px system-ui, sans-serif`;
  for (let row = top; row < bottom; row++) {
    const m = order[row], y = HEADER + row * ROW - dy;
    for (let r = first; r < last; r++) {
      const x = left + r * wide - dx, at = m * R + r;
      drawCell(pen, x, y, wide - 1, ROW - 1, states[at], values[at], withinNoise(values[at], r), numbers);
      if (m === cursor.m && r === cursor.r) {
        pen.strokeStyle = colours.accent;
        pen.lineWidth = 3;
        pen.strokeRect(x + 0.5, y + 0.5, wide - 2, ROW - 2);
        pen.lineWidth = 1;
      }
    }
  }
  pen.restore();
  drawHeader(pen, left, width, dx, first, last, wide);
  drawGutter(pen, left, height, dy, top, bottom);
  pen.fillStyle = colours.base;
  pen.fillRect(0, 0, left, HEADER);
  pen.fillStyle = colours.faint;
  pen.textAlign = "right";
  pen.font = "12px system-ui, sans-serif";
  pen.fillText("response", left - 10, 12);
  pen.fillText("dependence", left - 10, 32);
}

const largest = (numbers) => numbers.reduce((most, each) => Math.max(most, Math.abs(each ?? 0)), 1e-9);
const largestDependence = largest(responses.map((response) => response.dependence));
const largestWeight = largest(memories.map((memory) => memory.weight));

/** A bar's fill: striped where negative, as the cells are. */
function drawBar(pen, x, y, width, height, negative, upright) {
  pen.fillStyle = negative ? colours.neg3 : colours.pos3;
  if (!negative) return pen.fillRect(x, y, width, height);
  const length = upright ? height : width;
  for (let at = 0; at < length; at += 3) {
    const part = Math.min(2, length - at);
    if (upright) pen.fillRect(x, y + at, width, part); else pen.fillRect(x + at, y, part, height);
  }
}

function drawHeader(pen, left, width, dx, first, last, wide) {
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - left, HEADER);
  pen.clip();
  pen.textAlign = "left";
  for (let r = first; r < last; r++) {
    const x = left + r * wide - dx, here = r === cursor.r, { dependence } = responses[r];
    const crowded = wide < 40 && Math.abs(r - cursor.r) < 2 && !here;
    if (here || (!crowded && (r === 0 || (r + 1) % 5 === 0 || wide >= 40))) {
      pen.fillStyle = here ? colours.accent : colours.faint;
      pen.font = `${here ? "bold " : ""}11px system-ui, sans-serif`;
      pen.fillText(name(r), x, 12);
    }
    if (dependence !== null) {
      const tall = Math.max(1, Math.round(20 * Math.abs(dependence) / largestDependence));
      drawBar(pen, x, HEADER - 3 - tall, wide - 1, tall, dependence < 0, true);
    }
  }
  pen.restore();
}

function drawGutter(pen, left, height, dy, top, bottom) {
  pen.save();
  pen.beginPath();
  pen.rect(0, HEADER, left, height - HEADER);
  pen.clip();
  const bar = left > 220 ? 56 : 0, number = 54;
  for (let row = top; row < bottom; row++) {
    const m = order[row], y = HEADER + row * ROW - dy, { key, weight } = memories[m], here = m === cursor.m;
    pen.fillStyle = here ? colours.panel : colours.base;
    pen.fillRect(0, y, left, ROW);
    pen.fillStyle = here ? colours.accent : colours.text;
    pen.font = `${here ? "bold " : ""}13px system-ui, sans-serif`;
    pen.textAlign = "left";
    pen.fillText(fitted(pen, key.replace(/\s+/g, " "), left - bar - number - 22), 8, y + ROW / 2);
    if (bar && weight !== null) {
      const long = Math.max(1, Math.round(bar * Math.abs(weight) / largestWeight));
      drawBar(pen, left - number - bar - 8, y + 6, long, ROW - 12, weight < 0, false);
    }
    pen.fillStyle = colours.faint;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "right";
    pen.fillText(weight === null ? "none" : compact(weight), left - 10, y + ROW / 2);
  }
  pen.restore();
}

function redraw() {
  if (!frame) frame = requestAnimationFrame(draw);
}

function layOut() {
  $("space").style.width = `${gutter() + R * cellWidth()}px`;
  $("space").style.height = `${HEADER + order.length * ROW}px`;
  redraw();
}

function sortRows() {
  const wanted = $("filter").value.trim().toLowerCase(), by = $("sort").value;
  order = [];
  for (let m = 0; m < M; m++) if (memories[m].key.toLowerCase().includes(wanted)) order.push(m);
  const weight = (m) => memories[m].weight ?? -Infinity;
  if (by === "weight") order.sort((one, other) => weight(other) - weight(one) || one - other || 0);
  if (by === "key") order.sort((one, other) => memories[one].key.localeCompare(memories[other].key));
  $("count").textContent = order.length < M ? `${order.length} of ${count(M, "memory")}` : "";
  if (order.length && !order.includes(cursor.m)) cursor.m = order[0];
  layOut();
  tellCell();
}

function tellCell() {
  const { m, r } = hovered ?? cursor;
  $("cell").textContent = !M ? "The conversation has no memories."
    : !R ? "The conversation has no responses."
    : !order.length ? "No key holds that text."
    : cellSentence(m, r);
}

function moveTo(row, r) {
  if (!order.length || !R) return;
  cursor.m = order[Math.max(0, Math.min(row, order.length - 1))];
  cursor.r = Math.max(0, Math.min(r, R - 1));
  hovered = null;
  showCursor();
}

function showCursor() {
  const x = cursor.r * cellWidth(), y = order.indexOf(cursor.m) * ROW, wide = cellWidth();
  const width = heatmap.clientWidth - gutter(), height = heatmap.clientHeight - HEADER;
  if (x < heatmap.scrollLeft) heatmap.scrollLeft = x;
  if (x + wide > heatmap.scrollLeft + width) heatmap.scrollLeft = x + wide - width;
  if (y < heatmap.scrollTop) heatmap.scrollTop = y;
  if (y + ROW > heatmap.scrollTop + height) heatmap.scrollTop = y + ROW - height;
  redraw();
  tellCell();
}

/** The cell under the mouse, or null. */
function cellAt(event) {
  const box = heatmap.getBoundingClientRect();
  const x = event.clientX - box.left - heatmap.clientLeft, y = event.clientY - box.top - heatmap.clientTop;
  const row = Math.floor((y - HEADER + heatmap.scrollTop) / ROW);
  const r = x < gutter() ? cursor.r : Math.floor((x - gutter() + heatmap.scrollLeft) / cellWidth());
  const inside = y >= HEADER && x < heatmap.clientWidth && y < heatmap.clientHeight;
  return inside && row < order.length && r < R ? { m: order[row], r } : null;
}

heatmap.addEventListener("keydown", (event) => {
  const row = order.indexOf(cursor.m);
  const page = Math.max(1, Math.floor((heatmap.clientHeight - HEADER) / ROW) - 1);
  const steps = {
    ArrowUp: () => moveTo(row - 1, cursor.r), ArrowDown: () => moveTo(row + 1, cursor.r),
    ArrowLeft: () => moveTo(row, cursor.r - 1), ArrowRight: () => moveTo(row, cursor.r + 1),
    PageUp: () => moveTo(row - page, cursor.r), PageDown: () => moveTo(row + page, cursor.r),
    Home: () => moveTo(row, 0), End: () => moveTo(row, R - 1),
    Enter: () => order.length && R && show(cursor.m, cursor.r),
  };
  if (steps[event.key] && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    steps[event.key]();
  }
});
heatmap.addEventListener("click", (event) => {
  const cell = cellAt(event);
  if (!cell) return;
  Object.assign(cursor, cell);
  showCursor();
  show(cell.m, cell.r);
});
heatmap.addEventListener("mousemove", (event) => { hovered = cellAt(event); tellCell(); });
heatmap.addEventListener("mouseleave", () => { hovered = null; tellCell(); });
heatmap.addEventListener("scroll", redraw, { passive: true });
$("sort").addEventListener("change", sortRows);
$("filter").addEventListener("input", sortRows);
$("numbers").addEventListener("change", () => { layOut(); showCursor(); });
$("tools").addEventListener("submit", (event) => event.preventDefault());
new ResizeObserver(layOut).observe(heatmap);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  legend();
  redraw();
});

function legend() {
  const swatch = (state, value, noisy) => {
    const ratio = devicePixelRatio || 1, picture = make("canvas", { width: 21 * ratio, height: 21 * ratio });
    picture.style.width = picture.style.height = "21px";
    const pen = picture.getContext("2d");
    pen.scale(ratio, ratio);
    pen.textBaseline = "middle";
    pen.font = "12px system-ui, sans-serif";
    drawCell(pen, 0, 0, 21, 21, state, value, noisy, false);
    return picture;
  };
  const items = [];
  const levels = [-4, -3, -2, -1, 0, 1, 2, 3, 4];
  const shades = levels.map((n) => swatch(SCORED, Math.sign(n) * (n / LEVELS) ** 2 * head.extent, false));
  items.push(make("span", {}, `−${head.extent}`, ...shades, `+${head.extent} nats`));
  items.push(make("span", {}, "striped: more probable without the memory"));
  const seen = new Set(states);
  const noisy = responses.some((response) => head.noise_factor * (response.noise ?? 0) > head.important);
  if (noisy) items.push(make("span", {}, swatch(SCORED, head.extent, true), "may be noise"));
  const words = { [PENDING]: "not scored", [RUNNING]: "being scored", [FAILED]: "failed" };
  for (const [state, word] of Object.entries(words)) {
    if (seen.has(+state)) items.push(make("span", {}, swatch(+state), word));
  }
  if (seen.has(IMPOSSIBLE)) items.push(make("span", {}, "blank: the memory was not there"));
  $("legend").replaceChildren(...items);
}
