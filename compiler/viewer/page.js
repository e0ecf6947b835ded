
const LINE = 18, CONTEXT = 3, SPARE_ROWS = 40;
const $ = id => document.getElementById(id);
const make = (tag, className = "", text = "") => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
};

let data, steps, keys, rows = [], lit = new Set(), query = "", hits = [], hit = -1;
const sides = ["left", "right"];
const shown = { left: 0, right: 0 };

// The data is gzipped JSON; a list of passes of all compilations is what the selects and the list are made of.
async function start() {
  const packed = Uint8Array.from(atob($("data").textContent.trim()), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  data = JSON.parse(await new Response(stream).text());
  // Values, blocks and maps are numbered anew by every pass; a line that differs in numbers only is the same line.
  const numbers = new Map();
  keys = data.lines.map(line => {
    const key = line.trim().replace(/%[\w$.-]+(#\d+)?/g, "%").replace(/\^bb\d+/g, "^bb").replace(/#map\d*/g, "#map");
    if (!numbers.has(key)) numbers.set(key, numbers.size);
    return numbers.get(key);
  });
  steps = data.compilations.flatMap((c, owner) => c.passes.map((pass, place) => ({ ...pass, owner, place })));
  $("title").textContent = data.compilations.map(c => c.label).join(" and ");
  $("title").title = data.stamp + "\n" + data.compilations.map(c => c.options + "\n" + c.reason).join("\n");
  for (const side of sides) fillSelect($(side));
  listPasses();
  showClusters();
  showMemory();
  showRemarks();
  showSources();
  wire();
  const second = data.compilations.length > 1;
  const last = name => steps.findLastIndex(s => s.stage === name && s.owner === 0);
  show(second ? last("linalg") : 0, second ? steps.findLastIndex(s => s.stage === "linalg") : last("px"));
  document.body.dataset.ready = "yes";
}

const nameOf = step => (data.compilations.length > 1 ? data.compilations[step.owner].label + ": " : "")
  + (step.stage === step.name ? step.name : step.stage + " / " + step.name);
const textOf = side => data.texts[steps[shown[side]].text];

function fillSelect(select) {
  steps.forEach((step, number) => select.add(new Option(nameOf(step), number)));
}

function listPasses() {
  const longest = Math.max(...steps.map(s => s.seconds), 1e-9);
  let stage = "", before = 0;
  steps.forEach((step, number) => {
    if (stage !== step.owner + step.stage) {
      stage = step.owner + step.stage;
      $("passes").append(make("li", "stage", (data.compilations.length > 1 ? data.compilations[step.owner].label + ": " : "") + step.stage));
    }
    const item = make("li", "pass" + (step.changed ? "" : " same"));
    item.dataset.step = number;
    item.title = step.name + "\n" + step.reason;
    item.append(make("span", "dot", step.changed ? "●" : ""), make("span", "name", step.name));
    const change = step.place && step.operations ? step.operations - before : 0;
    before = step.operations;
    item.append(make("span", "facts", (step.seconds * 1e3).toFixed(1) + " ms, " + step.operations
      + (change ? " (" + (change > 0 ? "+" : "") + change + ")" : "")));
    const bar = make("span", "bar");
    bar.style.width = 100 * step.seconds / longest + "%";
    item.append(bar);
    // A click shows what the pass did: the text before it, and the one after.
    item.onclick = event => event.shiftKey ? show(number, shown.right) : show(step.place ? number - 1 : number, number);
    $("passes").append(item);
  });
}

function show(left, right) {
  [shown.left, shown.right] = [left, right];
  for (const side of sides) {
    $(side).value = shown[side];
    const step = steps[shown[side]];
    $("pane-" + side).querySelector(".head").textContent = nameOf(step) + " - " + step.reason;
  }
  document.querySelectorAll("#passes .pass").forEach(item => {
    item.classList.toggle("left", +item.dataset.step === left);
    item.classList.toggle("right", +item.dataset.step === right);
  });
  layOut();
}

// Rows of both panes; with "only differences" runs of equal rows shrink to their ends.
function layOut() {
  const [left, right] = sides.map(side => textOf(side).lines);
  rows = left === right ? left.map((_, i) => [i, i, 0]) : diff(left.map(l => keys[l]), right.map(l => keys[l]));
  const differences = rows.filter(row => row[2]).length;
  if ($("folded").checked) rows = fold(rows);
  $("said").textContent = ["no difference", "1 line differs"][differences] ?? differences + " lines differ";
  for (const side of sides) {
    $("pane-" + side).querySelector(".room").style.height = rows.length * LINE + "px";
    $("pane-" + side).querySelector("pre").dataset.from = "";
  }
  find(false);
  paint();
}

function fold(all) {
  const near = new Uint8Array(all.length);
  all.forEach((row, at) => { if (row[2]) near.fill(1, Math.max(0, at - CONTEXT), at + CONTEXT + 1); });
  const kept = [];
  for (let at = 0; at < all.length; at++) {
    if (near[at]) { kept.push(all[at]); continue; }
    const from = at;
    while (at + 1 < all.length && !near[at + 1]) at++;
    kept.push([-2, -2, 0, at - from + 1]);
  }
  return kept;
}

// Only the rows in sight are in the document.
function paint() {
  sides.forEach((side, column) => {
    const pane = $("pane-" + side), scroll = pane.querySelector(".scroll"), pre = pane.querySelector("pre");
    const from = Math.max(0, Math.floor(scroll.scrollTop / LINE) - SPARE_ROWS);
    const to = Math.min(rows.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / LINE) + SPARE_ROWS);
    pre.style.top = from * LINE + "px";
    pre.replaceChildren(...rows.slice(from, to).map((row, offset) => rowElement(side, column, row, from + offset)));
  });
}

function rowElement(side, column, row, at) {
  const text = textOf(side), number = row[column];
  const made = make("div");
  made.dataset.row = at;
  if (number < 0) {
    made.className = number === -2 ? "gap" : "none";
    made.textContent = number === -2 ? "      " + row[3] + " equal lines" : "";
    return made;
  }
  if (row[2]) made.className = column ? "add" : "cut";
  const place = text.places[number];
  if (place >= 0 && lit.has(place)) made.classList.add("lit");
  made.append(make("i", "", String(number + 1)));
  const line = data.lines[text.lines[number]];
  const found = query ? line.toLowerCase().indexOf(query) : -1;
  if (found >= 0) {
    made.classList.add("found");
    made.append(line.slice(0, found), make("mark", "", line.slice(found, found + query.length)), line.slice(found + query.length));
  } else made.append(line);
  if (place >= 0) made.title = data.places[place].join(":");
  made.onclick = () => light(place >= 0 ? data.places[place] : null, false);
  return made;
}

// Everything that comes from one line of Python lights up: in both panes, and in the source.
function light(place, scroll = true) {
  lit = new Set();
  if (place) data.places.forEach((p, number) => { if (p[0] === place[0] && p[1] === place[1]) lit.add(number); });
  document.querySelectorAll("#source div").forEach(line =>
    line.classList.toggle("lit", !!place && line.dataset.file === place[0] && +line.dataset.line === place[1]));
  const counts = sides.map(side => textOf(side).places.filter(p => lit.has(p)).length);
  $("said").textContent = place ? place[0].split("/").pop() + ":" + place[1] + " - " + counts[0] + " lines left, " + counts[1] + " right" : "";
  if (place && scroll) {
    const first = rows.findIndex(row => row[1] >= 0 && lit.has(textOf("right").places[row[1]]) || row[0] >= 0 && lit.has(textOf("left").places[row[0]]));
    if (first >= 0) goTo(first);
  } else document.querySelector("#source .lit")?.scrollIntoView({ block: "nearest" });
  paint();
}

function goTo(row) {
  for (const side of sides) $("pane-" + side).querySelector(".scroll").scrollTop = Math.max(0, row * LINE - 120);
  paint();
}

// Search: rows of the two panes, and a mark on every pass whose text has it.
function find(next) {
  query = $("search").value.trim().toLowerCase();
  const has = query ? data.lines.map(line => line.toLowerCase().includes(query)) : [];
  hits = [];
  if (query) rows.forEach((row, at) => {
    if (sides.some((side, column) => row[column] >= 0 && has[textOf(side).lines[row[column]]])) hits.push(at);
  });
  const passes = data.texts.map(text => query && text.lines.some(line => has[line]));
  document.querySelectorAll("#passes .pass").forEach(item => item.classList.toggle("hit", !!passes[steps[item.dataset.step].text]));
  hit = hits.length ? (next ? (hit + 1) % hits.length : 0) : -1;
  $("found").textContent = query ? (hits.length ? hit + 1 + " of " + hits.length : "not found") : "";
  if (hit >= 0) goTo(hits[hit]); else paint();
}

function showSources() {
  const places = new Set(data.places.map(p => p.join("\n")));
  for (const file of data.files) {
    $("source").append(make("strong", "", file.path));
    const pre = make("pre");
    file.text.split("\n").forEach((text, at) => {
      const line = make("div", places.has(file.path + "\n" + (at + 1)) ? "linked" : "");
      [line.dataset.file, line.dataset.line] = [file.path, at + 1];
      line.append(make("i", "", String(at + 1)), text);
      if (line.className) line.onclick = () => light([file.path, at + 1]);
      pre.append(line);
    });
    $("source").append(pre);
  }
  document.querySelector("#source .linked")?.scrollIntoView({ block: "center" });
}

const card = (title, lines, place, className = "") => {
  const made = make("div", "card " + className);
  made.append(make("strong", "", title), ...lines.map(line => make("p", "", line)));
  if (place) made.onclick = () => { light(place); };
  return made;
};

function showClusters() {
  for (const c of data.compilations) {
    if (data.compilations.length > 1) $("clusters").append(make("h3", "", c.label));
    for (const cluster of c.clusters)
      $("clusters").append(card(cluster.name, [cluster.kind + " of " + cluster.operations + " operations, called from "
        + cluster.calls + " places", cluster.schedule, ...cluster.lines.map(l => l[0].split("/").pop() + ":" + l[1])], cluster.lines[0]));
  }
}

// Time runs to the right (steps of the driver), addresses downwards.
function showMemory() {
  const space = "http://www.w3.org/2000/svg";
  for (const c of data.compilations) {
    const arena = c.arena, last = Math.max(1, ...arena.buffers.map(b => b[3] + 1));
    $("memory").append(make("p", "", (data.compilations.length > 1 ? c.label + ": " : "") + "arena "
      + (arena.bytes === null ? "known at run time" : arena.bytes + " bytes") + ", at most " + arena.live
      + " bytes alive at once, " + arena.buffers.length + " temporaries, " + arena.copies + " copies"));
    if (!arena.buffers.length) continue;
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 " + last + " " + Math.max(1, arena.bytes || 1));
    svg.setAttribute("preserveAspectRatio", "none");
    for (const [offset, bytes, first, end] of arena.buffers) {
      const box = document.createElementNS(space, "rect"), title = document.createElementNS(space, "title");
      title.textContent = bytes + " bytes at " + offset + ", step " + first + " to " + end;
      for (const [name, value] of Object.entries({ x: first, y: offset, width: end - first + 1, height: bytes })) box.setAttribute(name, value);
      box.append(title);
      svg.append(box);
    }
    $("memory").append(svg);
  }
}

function showRemarks() {
  for (const c of data.compilations) for (const remark of c.remarks)
    $("remarks").append(card(remark.file.split("/").pop() + ":" + remark.line, [remark.message], [remark.file, remark.line], remark.missed ? "missed" : ""));
}

// The right pane as a test: functions are labels, the first time a value is seen it becomes a variable.
function checksOf(lines) {
  const made = [];
  let names = new Map(), gap = true;
  const escape = text => text.replace(/\[\[+|\{\{+/g, run => "{{" + run.replace(/[[{]/g, c => "\\" + c) + "}}");
  const pattern = text => {
    let out = "", end = 0;
    for (const found of text.matchAll(/%\w+/g)) {
      out += escape(text.slice(end, found.index));
      end = found.index + found[0].length;
      if (!names.has(found[0])) { names.set(found[0], "V" + names.size); out += "%[[" + names.get(found[0]) + ":[a-zA-Z0-9_]+]]"; }
      else out += "%[[" + names.get(found[0]) + "]]";
    }
    return out + escape(text.slice(end));
  };
  for (const line of lines) {
    if (!line.trim() || line === "}" || /^\s*(\/\/|#|module)/.test(line)) { gap = true; continue; }
    const symbol = /^\s*(?:func\.func|llvm\.func|memref\.global)\b.*?@[\w.$-]+\(?/.exec(line);
    if (symbol) {
      names = new Map();
      made.push("// CHECK-LABEL: " + symbol[0].trimStart(), "// CHECK-SAME: " + pattern(line.slice(symbol[0].length)));
    } else made.push("// CHECK" + (gap ? "" : "-NEXT") + ": " + pattern(line.trim()));
    gap = false;
  }
  return made;
}

const commandFor = number => {
  const step = steps[number];
  const passes = data.compilations[step.owner].passes.slice(1, step.place + 1).filter(p => p.stage !== "asm").map(p => p.name);
  return data.command + (passes.length ? " --pass-pipeline='builtin.module(" + passes.join(",") + ")'" : "");
};

async function copy(text, what) {
  window.copied = text;
  try { await navigator.clipboard.writeText(text); $("said").textContent = what + " copied"; }
  catch { window.prompt(what, text); }
}

function wire() {
  for (const side of sides) {
    $(side).onchange = () => show(+$("left").value, +$("right").value);
    const scroll = $("pane-" + side).querySelector(".scroll");
    scroll.onscroll = () => {
      const other = $("pane-" + (side === "left" ? "right" : "left")).querySelector(".scroll");
      if (other.scrollTop !== scroll.scrollTop) other.scrollTop = scroll.scrollTop;
      paint();
    };
  }
  $("folded").onchange = layOut;
  $("search").onkeydown = event => { if (event.key === "Enter") find(true); };
  $("search").oninput = () => { hit = -1; find(false); };
  const narrow = () => document.querySelectorAll("#passes .pass").forEach(item => {
    const step = steps[item.dataset.step];
    item.hidden = $("hide-unchanged").checked && !step.changed || !step.name.includes($("filter").value.trim());
    item.style.display = item.hidden ? "none" : "";
  });
  $("hide-unchanged").onchange = $("filter").oninput = narrow;
  $("copy-test").onclick = () => copy(["// RUN: " + commandFor(shown.right) + " | FileCheck %s", "",
    ...checksOf(textOf("right").lines.map(l => data.lines[l]))].join("\n") + "\n", "test");
  $("copy-command").onclick = () => copy(commandFor(shown.right), "command");
  $("tabs").onclick = event => {
    if (!event.target.dataset.tab) return;
    for (const button of $("tabs").children) {
      button.classList.toggle("on", button === event.target);
      $(button.dataset.tab).hidden = button !== event.target;
    }
  };
  window.onresize = paint;
}

start();
