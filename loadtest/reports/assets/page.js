"use strict";

const result = JSON.parse(document.getElementById("data").textContent);
const report = document.getElementById("report");

// Elements. Text goes in as text: nothing of what a server said is ever markup.

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function drawn(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function card(size, title, ...children) {
  return element("section", { class: `card ${size}` }, title ? element("h2", {}, title) : null, ...children);
}

function table(head, rows, numbers = []) {
  const cell = (name, value, index) => {
    const attributes = numbers.includes(index) ? { class: "number" } : {};
    return element(name, attributes, value instanceof Node ? value : String(value));
  };
  return element("table", {},
    head.length ? element("tr", {}, ...head.map((value, index) => cell("th", value, index))) : null,
    ...rows.map((row) => element("tr", {}, ...row.map((value, index) => cell("td", value, index)))));
}

// Numbers

function ms(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 2 : 1)} ms`;
}
function share(value) { return `${plain(value)}%`; }
const count = (value) => Number(value).toLocaleString("en");
const plain = (value) => (Math.abs(value) >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(3))));

function ticksOf(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) ticks.push(at);
  return ticks;
}

function decades(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) ticks.push(10 ** power);
  return ticks;
}

// Plots

const left = 54, right = 10, top_ = 8, bottom = 24;
const cursors = [];

function scales(xs, ys, width, height, log) {
  const xLow = xs[0], xHigh = xs[1] === xs[0] ? xs[0] + 1 : xs[1];
  const known = ys.filter((value) => value !== null && (!log || value > 0));
  const yTop = known.length ? Math.max(...known) : 1;
  const yLow = log ? (known.length ? 10 ** Math.floor(Math.log10(Math.min(...known))) : 0.1) : 0;
  const yHigh = log ? Math.max(10 ** Math.ceil(Math.log10(yTop)), yLow * 10) : yTop * 1.08 || 1;
  const share = log
    ? (value) => Math.log10(Math.max(value, yLow) / yLow) / Math.log10(yHigh / yLow)
    : (value) => (value - yLow) / (yHigh - yLow);
  return {
    x: (value) => left + ((value - xLow) / (xHigh - xLow)) * (width - left - right),
    y: (value) => height - bottom - share(value) * (height - top_ - bottom),
    yTicks: log ? decades(yLow, yHigh) : ticksOf(yLow, yHigh, 4),
    xLow, xHigh, width,
  };
}

/** The pieces of a line between its gaps, each as a path and the places where it begins and ends. */
function pieces(points, scale) {
  const found = [];
  let open = false;
  for (const [x, y] of points) {
    if (y === null) { open = false; continue; }
    const at = scale.x(x).toFixed(1);
    if (!open) found.push({ path: "", from: at, to: at });
    const piece = found.at(-1);
    piece.path += `${open ? "L" : "M"}${at} ${scale.y(y).toFixed(1)}`;
    piece.to = at;
    open = true;
  }
  return found;
}

/** lines: [{name, color, points: [[x, y or null]], area, unit}]; xTicks: [[x, label]] */
function plot({ title, note, size = "half", lines, height = 210, log = false, xTicks, xs, shade, format, timed }) {
  const width = size === "half" ? 560 : 1140;
  const scale = scales(xs, lines.flatMap((line) => line.points.map((point) => point[1])), width, height, log);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  if (shade) {
    svg.append(drawn("rect", {
      class: "warmup", x: scale.x(scale.xLow), y: top_,
      width: Math.max(0, scale.x(Math.min(shade, scale.xHigh)) - scale.x(scale.xLow)), height: height - top_ - bottom,
    }));
  }
  for (const tick of scale.yTicks) {
    svg.append(
      drawn("line", { class: "axis", x1: left, x2: width - right, y1: scale.y(tick), y2: scale.y(tick) }),
      drawn("text", { x: left - 8, y: scale.y(tick) + 4, "text-anchor": "end" }, format(tick).replace(/\.0+ /, " ")));
  }
  for (const [at, label] of xTicks) {
    svg.append(drawn("text", { x: scale.x(at), y: height - 6, "text-anchor": "middle" }, label));
  }
  for (const line of lines) {
    const drawnPieces = pieces(line.points, scale);
    if (line.area) {
      const floor = scale.y(0);
      const areas = drawnPieces.map(({ path, from, to }) => `${path}L${to} ${floor}L${from} ${floor}Z`);
      svg.append(drawn("path", { d: areas.join(""), fill: `var(--${line.color})`, opacity: 0.13 }));
    }
    const d = drawnPieces.map(({ path }) => path).join("");
    svg.append(drawn("path", { class: "series", d, stroke: `var(--${line.color})` }));
  }
  const values = lines.map(() => element("b"));
  const where = element("span");
  const legend = element("div", { class: "legend" }, ...lines.map((line, index) => element("span", {},
    element("i", { style: `background: var(--${line.color})` }), line.name, values[index])), where);
  const cursor = drawn("line", { class: "cursor", y1: top_, y2: height - bottom });
  svg.append(cursor);
  followPointer({ svg, cursor, scale, lines, values, where, format, timed });
  return card(size, title, note ? element("p", { class: "soft" }, note) : null, legend, svg);
}

/** Shows the values under the pointer; plots over time show the same second all together. */
function followPointer({ svg, cursor, scale, lines, values, where, format, timed }) {
  const show = (x) => {
    cursor.style.visibility = x === null ? "hidden" : "visible";
    where.textContent = x === null ? "" : timed ? `at ${Math.round(x)} s` : `p${percentileAt(x)}`;
    if (x !== null) for (const end of ["x1", "x2"]) cursor.setAttribute(end, scale.x(x));
    lines.forEach((line, index) => {
      const near = x === null ? null : nearest(line.points, x);
      values[index].textContent = near === null || near[1] === null ? "" : format(near[1]);
    });
  };
  const group = timed ? cursors : [];
  group.push(show);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * scale.width;
    const x = scale.xLow + ((at - left) / (scale.width - left - right)) * (scale.xHigh - scale.xLow);
    const inside = x >= scale.xLow && x <= scale.xHigh;
    for (const one of group) one(inside ? (timed ? Math.round(x) : x) : null);
  });
  svg.addEventListener("pointerleave", () => { for (const one of group) one(null); });
}

function nearest(points, x) {
  let best = null;
  for (const point of points) if (best === null || Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
  return best;
}

// The HDR plot's axis: each decade of 1/(1 - percentile) is as wide as the one before.
const nines = (percentile) => -Math.log10(Math.max(1 - percentile / 100, 1e-7));
const percentileAt = (x) => Number((100 * (1 - 10 ** -x)).toFixed(Math.max(0, Math.ceil(x) - 1)));

const points = result.timeline;
const last = points.length ? points.at(-1).t : 1;
const ofTime = (pick) => points.map((point) => [point.t, pick(point) ?? null]);
// The second in which the sending stops is none: its counts would look like a collapse.
const lastWhole = Math.floor(result.settings.warmup + result.measured_seconds) - 1;
const eachSecond = (pick) => ofTime((point) => (point.t <= lastWhole ? pick(point) : null));
const ofServer = (pick) => ofTime((point) => (point.server ? pick(point.server) : null));
const overTime = (options) => plot({
  xs: [0, last], xTicks: ticksOf(0, last, 6).map((at) => [at, `${at} s`]), shade: result.settings.warmup, timed: true, ...options,
});

function latencyOverTime(what, title) {
  return overTime({
    title, log: true, format: ms,
    lines: [
      { name: "max", color: "c", points: ofTime((point) => point[`${what}_max`]) },
      { name: "p99", color: "b", points: ofTime((point) => point[`${what}_p99`]) },
      { name: "p50", color: "a", points: ofTime((point) => point[`${what}_p50`]) },
    ],
  });
}

function percentilePlot() {
  const lines = [["ack", "ACK", "a"], ["delivery", "delivery", "b"]].map(([what, name, color]) => ({
    name, color, points: stretched(result.curves[what], result.latency_ms[what].count),
  }));
  const high = Math.max(1, ...lines.flatMap((line) => line.points.map((point) => point[0])));
  const marks = [0, 50, 90, 99, 99.9, 99.99, 99.999].filter((mark) => nines(mark) <= high + 0.01);
  return plot({
    title: "Latency by percentile", note: "HDR plot: every label to the right is ten times rarer", size: "",
    lines, xs: [0, high], xTicks: marks.map((mark) => [nines(mark), `p${mark}`]), format: ms, height: 230, log: true,
  });
}

/** The curve's points at their place on the axis; the maximum where one in all recorded stands. */
function stretched(curve, recorded) {
  const end = Math.log10(Math.max(recorded, 10));
  return curve.map(([percentile, value]) => [Math.min(nines(percentile), end), value]);
}

// The parts of the page

function header() {
  const settings = result.settings;
  const kind = result.verdict.replace(" ", "-");
  const reasons = [...result.invalid_because, ...result.failed_because];
  return element("header", {},
    element("h1", {}, `Load test: ${result.scenario}`, element("span", { class: `badge ${kind}` }, result.verdict)),
    element("p", { class: "soft" },
      `${result.users} users with ${settings.devices} devices each, ${plain(settings.rate)} messages/s asked for, ` +
      `measured for ${plain(result.measured_seconds)} s after ${plain(settings.warmup)} s of warm-up, ` +
      `on ${settings.url}, ${result.started_at.replace("T", " ").replace("+00:00", " UTC")}`),
    reasons.length ? element("ul", { class: `reasons ${kind}` }, ...reasons.map((text) => element("li", {}, text))) : null,
    result.warnings.length
      ? element("ul", { class: "reasons soft" }, ...result.warnings.map((text) => element("li", {}, `Note: ${text}`)))
      : null);
}

function figure(name, value, unit = "", style = "") {
  return element("div", {}, element("div", { class: "soft" }, name),
    element("div", { class: `figure ${style}` }, value, unit ? element("small", {}, unit) : null));
}

function latencyCard(title, of, size = "half") {
  return card(size, title, element("div", { class: "row" },
    ...[["p50", of.p50], ["p90", of.p90], ["p99", of.p99], ["p99.9", of.p99_9], ["max", of.max]]
      .map(([name, value]) => figure(name, ...ms(value).split(" ")))));
}

function reconnectsCard() {
  const of = result.latency_ms.reconnect;
  return of.count ? latencyCard(`From a lost connection to the next welcome, ${count(of.count)} times`, of, "") : null;
}

function ledgerCard() {
  const names = [["lost", "lost"], ["duplicated", "doubled"], ["out_of_order", "out of order"], ["ghosts", "ghosts"],
    ["altered", "altered"], ["unanswered", "unanswered"]];
  return card("half", "The ledger", element("div", { class: "row" },
    ...names.map(([key, name]) => figure(name, count(result[key]), "", result[key] ? "fault" : "zero"))));
}

function countsCard() {
  const refused = Object.values(result.nacked).reduce((sum, one) => sum + one, 0);
  return card("half", "Messages", element("div", { class: "row" },
    figure("sent", count(result.sent)), figure("ACKed", count(result.acked)), figure("NACKed", count(refused)),
    figure("deliveries", count(result.deliveries)), figure("rate", plain(result.send_rate), "/s")));
}

function judgements() {
  const rows = [
    ...result.slos.map((slo) => [slo.passed, slo.expression, slo.value === null ? "nothing measured" : `it was ${plain(slo.value)}${slo.unit}`]),
    ...result.checks.map((check) => [check.passed, check.name, check.details.join("; ")]),
  ];
  if (!rows.length) return null;
  return card("judged", "Objectives and invariants", table([], rows.map(([passed, what, value]) => [
    element("span", { class: passed ? "zero" : "fault" }, passed ? "✓" : "✗"), what, value])));
}

function plots() {
  return [
    latencyOverTime("ack", "From due to the ACK"),
    latencyOverTime("delivery", "From due to the arrival at each device"),
    percentilePlot(),
    overTime({
      title: "Messages per second", format: plain,
      lines: [
        { name: "delivered", color: "b", points: eachSecond((point) => point.delivered), area: true },
        { name: "sent", color: "d", points: eachSecond((point) => point.sent) },
        { name: "ACKed", color: "a", points: eachSecond((point) => point.acked) },
      ],
    }),
    ...(points.some((point) => point.nacked || point.errors) ? [refusals()] : []),
  ];
}

function refusals() {
  return overTime({
    title: "NACKs and errors per second", format: plain,
    lines: [
      { name: "NACKs", color: "b", points: ofTime((point) => point.nacked), area: true },
      { name: "errors", color: "c", points: ofTime((point) => point.errors), area: true },
    ],
  });
}

function serverPlots() {
  if (!points.some((point) => point.server)) return [];
  const small = { height: 170 };
  return [
    overTime({ ...small, title: "Server: CPU", format: share,
      lines: [{ name: "CPU", color: "a", points: ofServer((server) => server.cpu_percent), area: true }] }),
    overTime({ ...small, title: "Server: memory", format: (value) => `${plain(value)} MiB`,
      lines: [{ name: "resident", color: "d", area: true,
        points: ofServer((server) => (server.rss_bytes === null ? null : server.rss_bytes / 2 ** 20)) }] }),
    overTime({ ...small, title: "Server: event-loop lag", format: ms,
      lines: [{ name: "lag", color: "c", points: ofServer((server) => server.loop_lag_ms), area: true }] }),
    overTime({ ...small, title: "Server: messages per commit", format: plain,
      lines: [
        { name: "largest", color: "b", points: ofServer((server) => server.batch_max) },
        { name: "mean", color: "a", points: ofServer((server) => server.batch_mean), area: true },
      ] }),
  ];
}

function findings() {
  if (!result.findings.length) return null;
  return card("", "Findings: the first of each kind", ...result.findings.map(([fault, conversation, message, detail, timeline], index) =>
    element("details", index < 3 ? { open: "" } : {},
      element("summary", {}, element("b", { class: "fault" }, fault.replaceAll("_", " ")), ` ${detail}`),
      element("p", { class: "mono soft" }, `${message} in ${conversation}`),
      Object.assign(table([], timeline.map(([at, event]) => [`${at.toFixed(3)} ms`, event])), { className: "moments" }))));
}

function counters(title, entries) {
  const rows = Object.entries(entries).map(([name, times]) => [name, count(times)]);
  return rows.length ? card("half", title, table([], rows, [1])) : null;
}

function surroundings() {
  const { machine, generator, settings } = result;
  const packages = Object.entries(machine.packages ?? {}).map(([name, version]) => `${name} ${version}`).join(", ");
  return [
    card("half facts", "Where it was measured", table([], [
      ["processor", `${machine.processor}, ${machine.cores} cores`],
      ["memory", `${count(machine.memory_mib)} MiB`],
      ["system", `${machine.system}, Python ${machine.python}`],
      ["packages", packages],
    ])),
    card("half facts", "The generator", table([], [
      ["processes", generator.processes],
      ["CPU of each", generator.cpu_percent === null ? "–" : `${plain(generator.cpu_percent)}%`],
      ["own lag, p99 and max", `${ms(generator.lag_ms.p99)}, ${ms(generator.lag_ms.max)}`],
      ["memory", `${plain(generator.rss_bytes / 2 ** 20)} MiB`],
      ["users started each second", plain(settings.spawn_rate)],
      ["reconnects", count(result.reconnects)],
    ])),
  ];
}

report.append(header(), element("div", { class: "grid" }, ...[
  latencyCard("From due to the ACK", result.latency_ms.ack),
  latencyCard("From due to the arrival at each device", result.latency_ms.delivery),
  countsCard(), ledgerCard(), reconnectsCard(), judgements(), findings(), ...plots(), ...serverPlots(),
  counters("NACKs by code", result.nacked), counters("Connections lost, by close code", result.disconnects),
  counters("Errors", result.errors), ...surroundings(),
].filter((part) => part !== null)));
