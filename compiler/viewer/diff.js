"use strict";
// A line diff that stays fast on long texts: equal ends, lines that occur once on both sides, then small tables.
// diff(a, b) takes arrays of keys and gives rows [left or -1, right or -1]; a row with both is equal or a change.

const TABLE_LIMIT = 250000;

function diff(a, b) {
  const pairs = [];
  match(a, 0, a.length, b, 0, b.length, pairs);
  return rowsOf(pairs, a.length, b.length);
}

function match(a, aFrom, aTo, b, bFrom, bTo, pairs) {
  while (aFrom < aTo && bFrom < bTo && a[aFrom] === b[bFrom]) pairs.push([aFrom++, bFrom++]);
  const tail = [];
  while (aFrom < aTo && bFrom < bTo && a[aTo - 1] === b[bTo - 1]) tail.push([--aTo, --bTo]);
  if (aFrom < aTo && bFrom < bTo) {
    if ((aTo - aFrom) * (bTo - bFrom) <= TABLE_LIMIT) table(a, aFrom, aTo, b, bFrom, bTo, pairs);
    else {
      let [x, y] = [aFrom, bFrom];
      for (const [i, j] of anchors(a, aFrom, aTo, b, bFrom, bTo)) {
        if (i > x || j > y) match(a, x, i, b, y, j, pairs);
        pairs.push([i, j]);
        [x, y] = [i + 1, j + 1];
      }
      if (x > aFrom || y > bFrom) match(a, x, aTo, b, y, bTo, pairs);
    }
  }
  for (let k = tail.length - 1; k >= 0; k--) pairs.push(tail[k]);
}

// Keys that occur once on each side, the longest run of them in order.
function anchors(a, aFrom, aTo, b, bFrom, bTo) {
  const seen = new Map();
  for (let i = aFrom; i < aTo; i++) seen.set(a[i], seen.has(a[i]) ? null : [i, -1]);
  for (let j = bFrom; j < bTo; j++) {
    const entry = seen.get(b[j]);
    if (entry) { if (entry[1] < 0) entry[1] = j; else seen.set(b[j], null); }
  }
  const once = [...seen.values()].filter(e => e && e[1] >= 0);
  const ends = [], before = new Array(once.length).fill(-1);
  once.forEach((entry, k) => {
    let [low, high] = [0, ends.length];
    while (low < high) { const mid = (low + high) >> 1; if (once[ends[mid]][1] < entry[1]) low = mid + 1; else high = mid; }
    before[k] = low ? ends[low - 1] : -1;
    ends[low] = k;
  });
  const found = [];
  for (let k = ends.length ? ends[ends.length - 1] : -1; k >= 0; k = before[k]) found.push(once[k]);
  return found.reverse();
}

// Longest common subsequence.
function table(a, aFrom, aTo, b, bFrom, bTo, pairs) {
  const n = aTo - aFrom, m = bTo - bFrom, width = m + 1;
  const longest = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--) for (let j = m - 1; j >= 0; j--)
    longest[i * width + j] = a[aFrom + i] === b[bFrom + j] ? longest[(i + 1) * width + j + 1] + 1
      : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  let i = 0, j = 0;
  while (i < n && j < m) {
    if (a[aFrom + i] === b[bFrom + j]) pairs.push([aFrom + i++, bFrom + j++]);
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
    else j++;
  }
}

// Rows for two columns: what lies between two pairs stands side by side as far as it goes.
function rowsOf(pairs, aLength, bLength) {
  const rows = [];
  let i = 0, j = 0;
  for (const [x, y] of [...pairs, [aLength, bLength]]) {
    while (i < x || j < y) rows.push([i < x ? i++ : -1, j < y ? j++ : -1, 1]);
    if (x < aLength || y < bLength) rows.push([i++, j++, 0]);
  }
  return rows;
}
