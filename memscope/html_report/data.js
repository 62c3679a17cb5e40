"use strict";
// The report's data, and numbers and states in words. What comes from the conversation is untrusted: it
// becomes text, never markup. The three scripts are joined into one.

const report = JSON.parse(document.getElementById("data").textContent);
const { head, memories, responses, details } = report;
const M = memories.length, R = responses.length;
const IMPOSSIBLE = 0, PENDING = 1, RUNNING = 2, SCORED = 3, FAILED = 4;
const LEVELS = 4, QUIET = 1 / 64;
const TOKEN_LEAST = 0.05, TOKEN_EXTENT = 1;

const $ = (id) => document.getElementById(id);
const states = new Uint8Array(M * R);
const values = new Float32Array(M * R).fill(NaN);
for (let m = 0; m < M; m++) {
  for (let r = 0, scored = 0; r < R; r++) {
    const state = states[m * R + r] = report.states[m].charCodeAt(r) - 48;
    if (state === SCORED) values[m * R + r] = report.values[m][scored++];
  }
}
delete report.values;
delete report.states;

/** An element with attributes and with children, of which strings become text. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/* Numbers in words */

const count = (number, thing) => `${number.toLocaleString("en")} ${number === 1 ? thing : plural(thing)}`;
const plural = (thing) => thing.endsWith("y") ? `${thing.slice(0, -1)}ies` : `${thing}s`;
/** `+2.20`; without a sign where nothing is left of it. */
function signed(value, digits = 2) {
  const size = Math.abs(value).toFixed(digits);
  return (+size === 0 ? "" : value < 0 ? "−" : "+") + size;
}
/** A sum in few characters: `41.2`, `12k`. */
function compact(value) {
  const size = Math.abs(value);
  const told = size < 9999 ? size.toFixed(1)
    : size < 9999000 ? `${Math.round(size / 1000)}k`
    : size.toExponential(0);
  return (value < 0 && +told !== 0 ? "−" : "") + told;
}

const plain = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);
const name = (r) => `r${r + 1}`;

function ordinal(number) {
  const teens = number % 100 >= 11 && number % 100 <= 13;
  return number + (!teens && ["th", "st", "nd", "rd"][number % 10] || "th");
}

/** Whether a value may be nothing but its response's noise. */
function withinNoise(value, r) {
  const { noise } = responses[r];
  return noise !== null && Math.abs(value) < head.noise_factor * noise;
}
const matters = (value, r) => Math.abs(value) > head.important && !withinNoise(value, r);

/** How strong a value is in a range that ends at `extent`: 0, or ±1 to ±4. */
function level(value, extent, least) {
  const size = Math.abs(value);
  if (!(size > Math.max(least, QUIET * extent))) return 0;
  const strength = Math.ceil(LEVELS * Math.sqrt(Math.min(size / extent, 1)));
  return Math.sign(value) * Math.min(Math.max(strength, 1), LEVELS);
}

function stateSentence(m, r) {
  switch (states[m * R + r]) {
    case FAILED: return `failed: ${memories[m].error ?? "no reason given"}`;
    case PENDING: return "not scored";
    case RUNNING: return "was being scored when this was written";
    default: return memories[m].entries[0] > responses[r].entry
      ? "impossible: this memory enters after the response"
      : "impossible: memory and response stand in no common context, or do not fit one window of the model's";
  }
}

function cellSentence(m, r) {
  const where = `${memories[m].key} × ${name(r)}: `, value = values[m * R + r];
  if (states[m * R + r] !== SCORED) return where + stateSentence(m, r);
  let place = 1, scored = 0;
  for (let other = 0; other < M; other++) {
    if (states[other * R + r] !== SCORED) continue;
    scored++;
    if (values[other * R + r] > value) place++;
  }
  const noise = responses[r].noise;
  const told = noise === null ? "noise unknown" : `noise ${+noise.toPrecision(2)}`;
  const within = withinNoise(value, r) ? "within " : "";
  return `${where}${signed(value)} nats, ${ordinal(place)} of ${scored}, ${within}${told}`;
}
