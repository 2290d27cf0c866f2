// The labeller in the browser. Python (labeller.py) owns the file; here are the view, the mouse and the keys.
//
// Points have one of four kinds: "none" (to do), "suggested" (by a network or copied), "labelled", "absent".
// Every change is sent to Python at once, as the whole frame; its reply is the trait `frame` with our `editor` and
// `count`. A frame from another editor (a second tab) replaces what is shown.

const NEAR = { mouse: 11, pen: 14, touch: 24 }; // pixels of the screen from a pointer to the point that it takes
const SLACK = { mouse: 3, pen: 5, touch: 9 }; // pixels that a click may move
const KEYS = [
  ["click", "place the marked keypoint, or take a point"],
  ["drag", "move a point; beside points: the image"],
  ["Enter", "accept all points and go on"],
  ["→ ←", "next, previous frame"],
  ["↓ ↑", "next, previous keypoint"],
  ["Shift + arrows", "move the point by a pixel"],
  ["O or right click", "occluded"],
  ["X", "not in the frame"],
  ["Backspace", "take the point away"],
  ["E", "the rest is not in the frame"],
  ["C", "copy from the nearest labelled frame"],
  ["S", "swap left and right"],
  ["Z, Y", "undo, redo"],
  ["wheel, + −", "zoom"],
  ["F", "whole frame or person"],
  ["H", "hide the points"],
  ["[ ]", "darker, brighter"],
  ["Alt + click", "place upon another point"],
];

function make(tag, className, parent, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text; // never as HTML: names are the user's
  if (parent) parent.append(node);
  return node;
}

function draw(tag, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent.append(node);
  return node;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const copyOf = (points) => points.map((point) => ({ ...point }));
const placed = (point) => point.kind === "suggested" || point.kind === "labelled";

function pointsOf(frame) {
  return frame.keypoints.map(([x, y, v], k) => {
    if (v > 0) return { x, y, kind: "labelled", occluded: v === 1 };
    if (frame.absent[k]) return { x: 0, y: 0, kind: "absent", occluded: false };
    const [sx, sy, score] = frame.suggested[k] ?? [0, 0, 0];
    return { x: sx, y: sy, kind: score > 0 ? "suggested" : "none", occluded: false };
  });
}

function render({ model, el }) {
  const skeleton = model.get("skeleton");
  const editor = crypto.randomUUID?.() ?? String(Math.random());
  const history = new Map(); // file → { undo, redo } of { points, current }
  let frame = null;
  let points = [];
  let current = 0;
  let wanted = -1; // index of the frame that is being opened
  let count = 0; // of the changes sent
  let occludedNext = false;
  let hidden = false;
  let brightness = 1;
  let view = { scale: 1, x: 0, y: 0 };
  let fitted = "person";
  let url = "";
  let slow = 0; // timer of an unanswered message
  let pointer = null; // where the mouse is over the stage

  // ---- elements ------------------------------------------------------------------------------

  const root = make("div", "fewpose-labeller", el);
  root.tabIndex = 0;
  root.dataset.jpSuppressContextMenu = ""; // JupyterLab's menu would open over a right click
  root.dataset.lmSuppressShortcuts = "true";
  const top = make("div", "fp-row", root);
  const back = button(top, "‹", "previous frame (←)", () => open(frame.index - 1));
  const next = button(top, "›", "next frame (→)", () => open(frame.index + 1));
  const progress = make("span", "fp-progress", top);
  const title = make("span", "fp-title", top);
  const state = make("span", "fp-state", top);
  state.setAttribute("role", "status");
  const strip = make("div", "fp-strip", root);
  const main = make("div", "fp-main", root);
  const stage = make("div", "fp-stage", main);
  const image = make("img", "", stage);
  image.alt = "";
  image.draggable = false;
  const svg = draw("svg", {}, stage);
  const loupe = make("div", "fp-loupe", stage);
  const toast = make("div", "fp-toast", stage);
  const list = make("div", "fp-list", main);
  const tools = make("div", "fp-row", root);
  button(tools, "Accept and next ↵", "accept all points and go on (Enter)", accept).classList.add("fp-main-button");
  const occludedButton = button(tools, "Occluded", "the marked keypoint is hidden by something (O)", toggleOccluded);
  button(tools, "Not there", "the marked keypoint is not in the frame (X)", toggleAbsent);
  button(tools, "Copy", "copy from the nearest labelled frame of this video (C)", copy);
  button(tools, "Swap ⇄", "swap left and right (S)", swap);
  const undoButton = button(tools, "Undo", "undo (Z)", () => travel("undo", "redo"));
  const redoButton = button(tools, "Redo", "redo (Y)", () => travel("redo", "undo"));
  button(tools, "Fit", "whole frame or person (F)", toggleFit);
  const slider = make("label", "fp-slider", tools, "☀");
  slider.title = "brightness ([ and ])";
  const range = make("input", "", slider);
  Object.assign(range, { type: "range", min: 0.3, max: 4, step: 0.1, value: 1 });
  range.setAttribute("aria-label", "brightness");
  range.addEventListener("input", () => brighten(Number(range.value)));
  const help = make("details", "fp-help", root);
  make("summary", "", help, "Keys");
  for (const [keys, meaning] of KEYS) {
    const line = make("span", "", help);
    make("kbd", "", line, keys);
    line.append(` ${meaning}`);
  }
  const rows = skeleton.keypoints.map((name, k) => {
    const row = make("button", `fp-keypoint fp-${skeleton.sides[k] || "middle"}`, list);
    row.type = "button";
    make("i", "", row);
    make("span", "", row, name);
    row.addEventListener("click", () => select(k));
    return row;
  });
  const cells = model.get("files").map((file, i) => {
    const cell = make("button", "", strip);
    cell.type = "button";
    cell.tabIndex = -1;
    cell.title = file;
    cell.addEventListener("click", () => open(i));
    return cell;
  });

  function button(parent, text, about, action) {
    const node = make("button", "fp-button", parent, text);
    node.type = "button";
    node.title = about;
    node.addEventListener("click", () => {
      action();
      root.focus({ preventScroll: true });
    });
    return node;
  }

  // ---- frames --------------------------------------------------------------------------------

  function open(index) {
    index = clamp(index, 0, cells.length - 1);
    if (index === (wanted < 0 ? frame?.index : wanted)) return;
    wanted = index;
    send({ kind: "open", index });
  }

  function send(message) {
    model.send({ editor, ...message });
    clearTimeout(slow);
    slow = setTimeout(() => tell("waiting for the kernel …", "fp-warning"), 2000);
  }

  function tell(text, className = "") {
    state.textContent = text;
    state.className = `fp-state ${className}`;
  }

  function say(text) {
    toast.textContent = text;
    toast.classList.add("fp-shown");
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => toast.classList.remove("fp-shown"), 3500);
  }

  function frameChanged() {
    const given = model.get("frame");
    if (!given.file) return;
    clearTimeout(slow);
    const other = frame?.file !== given.file;
    const mine = given.editor === editor;
    if (!other && mine && given.count < count && !given.conflict) return; // newer changes are under way
    if (given.conflict && mine) {
      remember();
      say("Labelled elsewhere meanwhile: the newer labels are shown. Undo puts yours back.");
    }
    if (other || !mine || given.conflict) points = pointsOf(given);
    frame = given;
    wanted = -1;
    if (other) {
      showImage();
      current = 0;
      advance(-1);
      fitted = "person";
      fit();
    }
    if (given.conflict) tell("not saved", "fp-warning");
    else tell(count || given.count ? "saved ✓" : "");
    paint();
  }

  function showImage() {
    const bytes = model.get("image");
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    image.src = url;
    loupe.style.backgroundImage = `url("${url}")`;
  }

  // ---- changes -------------------------------------------------------------------------------

  function past() {
    if (!history.has(frame.file)) history.set(frame.file, { undo: [], redo: [] });
    return history.get(frame.file);
  }

  function remember(before = points) {
    past().undo.push({ points: copyOf(before), current });
    past().redo = [];
  }

  function change(edit) {
    const before = copyOf(points);
    const old = current;
    edit();
    if (JSON.stringify(before) !== JSON.stringify(points)) {
      const now = current;
      current = old;
      remember(before);
      current = now;
      save();
    }
    paint();
  }

  function save() {
    count += 1;
    tell("saving …");
    send({
      kind: "save",
      file: frame.file,
      count,
      keypoints: points.map((p) => (p.kind === "labelled" ? [p.x, p.y, p.occluded ? 1 : 2] : [0, 0, 0])),
      absent: points.map((p) => p.kind === "absent"),
    });
  }

  function travel(from, to) {
    const stack = past();
    if (!stack[from].length) return say(`Nothing to ${from}`);
    stack[to].push({ points: copyOf(points), current });
    ({ points, current } = stack[from].pop());
    save();
    paint();
  }

  function place(k, x, y, occluded) {
    points[k] = {
      x: clamp(x, -0.5, frame.width - 0.5),
      y: clamp(y, -0.5, frame.height - 0.5),
      kind: "labelled",
      occluded,
    };
  }

  function placeNext(x, y, occluded) {
    change(() => {
      place(current, x, y, occluded || occludedNext);
      advance(current);
    });
    occludedNext = false;
    paint();
  }

  function advance(from) {
    for (let i = 1; i <= points.length; i += 1) {
      const k = (from + i + points.length) % points.length;
      if (points[k].kind === "none") {
        current = k;
        return;
      }
    }
  }

  function select(k) {
    current = (k + points.length) % points.length;
    occludedNext = false;
    paint();
    root.focus({ preventScroll: true });
  }

  function accept() {
    change(() => points.forEach((p) => p.kind === "suggested" && (p.kind = "labelled")));
    const left = skeleton.keypoints.filter((_, k) => points[k].kind === "none");
    if (left.length) {
      advance(-1);
      paint();
      say(`Still to place: ${left.slice(0, 4).join(", ")}${left.length > 4 ? " …" : ""}. X: not in the frame.`);
      return;
    }
    const status = model.get("status");
    const order = cells.map((_, i) => (frame.index + 1 + i) % cells.length);
    const todo = order.find((i) => status[i] < 2 && i !== frame.index);
    if (todo === undefined) say("All frames are labelled. Go on with the notebook.");
    else open(todo);
  }

  function toggleOccluded() {
    const point = points[current];
    if (placed(point)) change(() => Object.assign(point, { kind: "labelled", occluded: !point.occluded }));
    else occludedNext = !occludedNext;
    paint();
  }

  function toggleAbsent() {
    change(() => {
      const kind = points[current].kind === "absent" ? "none" : "absent";
      points[current] = { x: 0, y: 0, kind, occluded: false };
      if (kind === "absent") advance(current);
    });
  }

  function remove() {
    change(() => (points[current] = { x: 0, y: 0, kind: "none", occluded: false }));
  }

  function restAbsent() {
    change(() =>
      points.forEach((p, k) => p.kind !== "labelled" && (points[k] = { x: 0, y: 0, kind: "absent", occluded: false })),
    );
  }

  function swap() {
    if (!skeleton.pairs.length) return say("No keypoints are named as left and right");
    change(() => skeleton.pairs.forEach(([a, b]) => ([points[a], points[b]] = [points[b], points[a]])));
  }

  function copy() {
    send({ kind: "copy", file: frame.file });
  }

  function copied(message) {
    if (message.kind !== "copy" || message.editor !== editor || message.file !== frame.file) return;
    clearTimeout(slow);
    if (!message.source) return say("No other frame of this video is labelled yet");
    const before = copyOf(points);
    message.keypoints.forEach(([x, y, v], k) => {
      if (v > 0 && points[k].kind !== "labelled") points[k] = { x, y, kind: "suggested", occluded: v === 1 };
    });
    past().undo.push({ points: before, current });
    say(`Copied from ${message.source}: correct the points, then Enter`);
    paint();
  }

  function nudge(dx, dy) {
    const point = points[current];
    if (placed(point)) change(() => place(current, point.x + dx, point.y + dy, point.occluded));
  }

  // ---- view ----------------------------------------------------------------------------------

  const toScreen = ({ x, y }) => [(x + 0.5) * view.scale + view.x, (y + 0.5) * view.scale + view.y];
  const toFrame = (sx, sy) => [(sx - view.x) / view.scale - 0.5, (sy - view.y) / view.scale - 0.5];

  function fit() {
    let box = [0, 0, frame.width, frame.height];
    const shown = points.filter(placed);
    if (fitted === "person" && shown.length > 1 && shown.length > 0.6 * points.length) {
      const xs = shown.map((p) => p.x);
      const ys = shown.map((p) => p.y);
      const margin = 0.35 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys), 20);
      const [right, bottom] = [Math.min(frame.width, Math.max(...xs) + margin), Math.max(...ys) + margin];
      box = [Math.max(0, Math.min(...xs) - margin), Math.max(0, Math.min(...ys) - margin), right, Math.min(frame.height, bottom)];
    }
    const [x0, y0, x1, y1] = box;
    const { clientWidth: width, clientHeight: height } = stage;
    const scale = Math.min(width / (x1 - x0), height / (y1 - y0));
    view = { scale, x: width / 2 - ((x0 + x1) / 2) * scale, y: height / 2 - ((y0 + y1) / 2) * scale };
  }

  function toggleFit() {
    fitted = fitted === "person" ? "frame" : "person";
    fit();
    paint();
  }

  function zoom(factor, sx = stage.clientWidth / 2, sy = stage.clientHeight / 2) {
    const scale = clamp(view.scale * factor, 0.05, 60);
    factor = scale / view.scale;
    view = { scale, x: sx - (sx - view.x) * factor, y: sy - (sy - view.y) * factor };
    paint();
  }

  function brighten(value) {
    brightness = clamp(value, 0.3, 4);
    range.value = brightness;
    paint();
  }

  function paint() {
    if (!frame) return;
    image.style.width = `${frame.width * view.scale}px`;
    image.style.height = `${frame.height * view.scale}px`;
    image.style.transform = `translate(${view.x}px, ${view.y}px)`;
    image.style.imageRendering = view.scale > 4 ? "pixelated" : "auto";
    image.style.filter = brightness === 1 ? "" : `brightness(${brightness})`;
    svg.replaceChildren();
    if (!hidden) {
      for (const [a, b] of skeleton.limbs) if (placed(points[a]) && placed(points[b])) paintLimb(a, b);
      points.forEach((point, k) => k !== current && placed(point) && paintPoint(point, k));
      if (placed(points[current])) paintPoint(points[current], current);
      if (pointer && !gesture) paintName(nearest(...pointer, "mouse"));
    }
    rows.forEach((row, k) => {
      const { kind, occluded } = points[k];
      row.dataset.kind = kind === "labelled" && occluded ? "occluded" : kind;
      row.classList.toggle("fp-current", k === current);
      row.setAttribute("aria-label", `${skeleton.keypoints[k]}: ${row.dataset.kind}`);
    });
    if (rows[current].offsetTop + rows[current].offsetHeight > list.scrollTop + list.clientHeight)
      list.scrollTop = rows[current].offsetTop - list.clientHeight / 2;
    else if (rows[current].offsetTop < list.scrollTop) list.scrollTop = rows[current].offsetTop - 4;
    const status = model.get("status");
    cells.forEach((cell, i) => {
      cell.className = ["", "fp-started", "fp-done"][status[i]] + (i === frame.index ? " fp-here" : "");
    });
    progress.textContent = `${status.filter((s) => s === 2).length} of ${cells.length} labelled`;
    title.textContent = frame.number < 0 ? frame.file : `${frame.video} · frame ${frame.number}`;
    back.disabled = frame.index === 0;
    next.disabled = frame.index === cells.length - 1;
    undoButton.disabled = !past().undo.length;
    redoButton.disabled = !past().redo.length;
    occludedButton.classList.toggle("fp-pressed", occludedNext || points[current].occluded);
  }

  function paintLimb(a, b) {
    const [x1, y1] = toScreen(points[a]);
    const [x2, y2] = toScreen(points[b]);
    const sides = new Set([skeleton.sides[a], skeleton.sides[b]].filter(Boolean));
    const side = sides.size === 1 ? [...sides][0] : "middle";
    const sure = points[a].kind === "labelled" && points[b].kind === "labelled";
    draw("line", { x1, y1, x2, y2, class: `fp-limb fp-${side} ${sure ? "" : "fp-suggested"}` }, svg);
  }

  function paintPoint(point, k) {
    const [cx, cy] = toScreen(point);
    const kind = point.occluded ? "fp-occluded" : "";
    const side = `fp-${skeleton.sides[k] || "middle"}`;
    if (k === current) draw("circle", { cx, cy, r: 11, class: "fp-ring" }, svg);
    const dot = { cx, cy, r: 5, class: `fp-point ${side} fp-${point.kind} ${kind}`, "data-keypoint": k };
    draw("circle", dot, svg);
    if (k === current) write(skeleton.keypoints[k], cx, cy);
  }

  // Beside the mouse: the point that it would take, or the one that a click would place.
  function paintName(near) {
    if (near >= 0 && near !== current) write(skeleton.keypoints[near], ...toScreen(points[near]));
    else if (near < 0 && points[current].kind === "none") write(skeleton.keypoints[current], ...pointer);
  }

  function write(text, x, y) {
    const right = x > stage.clientWidth - 130;
    const place = { x: right ? x - 15 : x + 15, y: Math.max(14, y - 9), "text-anchor": right ? "end" : "start" };
    draw("text", place, svg).textContent = text;
  }

  function showLoupe(point) {
    const side = 130;
    const scale = Math.max(4, 2.5 * view.scale);
    const [sx, sy] = toScreen(point);
    loupe.style.left = sx < side + 40 && sy < side + 40 ? "auto" : "8px";
    loupe.style.right = sx < side + 40 && sy < side + 40 ? "8px" : "auto";
    loupe.style.backgroundSize = `${frame.width * scale}px ${frame.height * scale}px`;
    loupe.style.backgroundPosition = `${side / 2 - (point.x + 0.5) * scale}px ${side / 2 - (point.y + 0.5) * scale}px`;
    loupe.style.filter = image.style.filter;
    loupe.classList.add("fp-shown");
  }

  // ---- pointers: mouse, pen, fingers ---------------------------------------------------------

  const pointers = new Map();
  let gesture = null; // { kind: "click" | "drag" | "pan" | "pinch", … }

  function where(event) {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function nearest(sx, sy, type) {
    if (hidden) return -1;
    let best = -1;
    // to place a keypoint beside another one takes less room than to move one
    let limit = points[current].kind === "none" ? NEAR[type] / 1.6 : NEAR[type];
    points.forEach((point, k) => {
      if (!placed(point)) return;
      const [x, y] = toScreen(point);
      const distance = Math.hypot(x - sx, y - sy) - (k === current ? 3 : 0);
      if (distance < limit) [best, limit] = [k, distance];
    });
    return best;
  }

  stage.addEventListener("pointerdown", (event) => {
    if (!frame || event.button > 2) return;
    event.preventDefault();
    event.stopPropagation();
    root.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    const [sx, sy] = where(event);
    const type = event.pointerType || "mouse";
    pointers.set(event.pointerId, [sx, sy]);
    if (pointers.size === 2) {
      if (gesture?.kind === "drag") points = gesture.before;
      gesture = { kind: "pinch" };
    } else if (pointers.size === 1) {
      const hit = event.altKey || event.button === 1 ? -1 : nearest(sx, sy, type);
      gesture = { kind: "click", hit, start: [sx, sy], type, button: event.button, before: copyOf(points), view };
      if (hit >= 0) {
        gesture.old = current;
        current = hit;
      }
    }
    paint();
  });

  stage.addEventListener("pointerleave", () => {
    pointer = null;
    paint();
  });

  stage.addEventListener("pointermove", (event) => {
    const [sx, sy] = where(event);
    pointer = event.pointerType === "touch" ? null : [sx, sy];
    if (!gesture) paint();
    if (!pointers.has(event.pointerId) || !gesture) return;
    const old = [...pointers.values()];
    pointers.set(event.pointerId, [sx, sy]);
    const now = [...pointers.values()];
    if (gesture.kind === "pinch") {
      if (now.length < 2) return;
      const middle = (p) => [(p[0][0] + p[1][0]) / 2, (p[0][1] + p[1][1]) / 2];
      const apart = (p) => Math.max(1, Math.hypot(p[0][0] - p[1][0], p[0][1] - p[1][1]));
      const [ox, oy] = middle(old);
      const [nx, ny] = middle(now);
      view = { ...view, x: view.x + nx - ox, y: view.y + ny - oy };
      zoom(apart(now) / apart(old), nx, ny);
      return;
    }
    const [dx, dy] = [sx - gesture.start[0], sy - gesture.start[1]];
    if (gesture.kind === "click" && Math.hypot(dx, dy) > SLACK[gesture.type])
      gesture.kind = gesture.hit >= 0 && gesture.button === 0 ? "drag" : "pan";
    if (gesture.kind === "drag") {
      const from = gesture.before[gesture.hit]; // the point keeps its distance to the pointer
      place(gesture.hit, from.x + dx / view.scale, from.y + dy / view.scale, from.occluded);
      paint();
      showLoupe(points[gesture.hit]);
    } else if (gesture.kind === "pan") {
      view = { ...view, x: gesture.view.x + dx, y: gesture.view.y + dy };
      paint();
    }
  });

  function release(event) {
    if (!pointers.delete(event.pointerId) || !gesture) return;
    loupe.classList.remove("fp-shown");
    const done = gesture;
    if (done.kind === "pinch") {
      if (!pointers.size) gesture = null;
      return;
    }
    gesture = null;
    if (event.type === "pointercancel") {
      points = done.before;
    } else if (done.kind === "drag") {
      remember(done.before);
      save();
    } else if (done.kind === "click" && done.hit >= 0) {
      const occluded = done.button === 2;
      change(() => {
        const point = points[done.hit];
        point.kind = "labelled";
        if (occluded) point.occluded = !point.occluded;
      });
    } else if (done.kind === "click") {
      const [x, y] = toFrame(...done.start);
      const inside = x > -0.5 && y > -0.5 && x < frame.width - 0.5 && y < frame.height - 0.5;
      if (inside && points[current].kind === "labelled" && done.button !== 1) {
        say(`${skeleton.keypoints[current]} has its place: drag it, or choose another keypoint`);
      } else if (inside && done.button !== 1) {
        placeNext(x, y, done.button === 2);
      }
    }
    paint();
  }
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  for (const type of ["contextmenu", "dragstart"]) root.addEventListener(type, (event) => event.preventDefault());
  for (const type of ["mousedown", "touchstart"]) stage.addEventListener(type, (event) => event.stopPropagation());

  stage.addEventListener(
    "wheel",
    (event) => {
      // an untouched labeller lets the page scroll
      if (!event.ctrlKey && !root.contains(document.activeElement)) return;
      event.preventDefault();
      event.stopPropagation();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
      zoom(Math.exp(-clamp(pixels, -300, 300) * 0.002), ...where(event));
    },
    { passive: false },
  );

  // ---- keys ----------------------------------------------------------------------------------

  const actions = {
    Enter: accept,
    ArrowRight: () => open((wanted < 0 ? frame.index : wanted) + 1),
    ArrowLeft: () => open((wanted < 0 ? frame.index : wanted) - 1),
    ArrowDown: () => select(current + 1),
    ArrowUp: () => select(current - 1),
    "shift+ArrowRight": () => nudge(1, 0),
    "shift+ArrowLeft": () => nudge(-1, 0),
    "shift+ArrowDown": () => nudge(0, 1),
    "shift+ArrowUp": () => nudge(0, -1),
    o: toggleOccluded,
    x: toggleAbsent,
    Delete: toggleAbsent,
    Backspace: remove,
    e: restAbsent,
    c: copy,
    s: swap,
    z: () => travel("undo", "redo"),
    y: () => travel("redo", "undo"),
    f: toggleFit,
    h: () => {
      hidden = !hidden;
      paint();
    },
    "+": () => zoom(1.25),
    "=": () => zoom(1.25),
    "-": () => zoom(0.8),
    "[": () => brighten(brightness - 0.2),
    "]": () => brighten(brightness + 0.2),
    "ctrl+z": () => travel("undo", "redo"),
    "ctrl+y": () => travel("redo", "undo"),
    "ctrl+shift+z": () => travel("redo", "undo"),
  };

  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // or x and d d would cut the user's cell
    if (!frame || event.altKey || (event.target === range && event.key.startsWith("Arrow"))) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const held = (event.ctrlKey || event.metaKey ? "ctrl+" : "") + (event.shiftKey && /[A-Za-z]/.test(key) ? "shift+" : "");
    const action = actions[held + key] ?? (held === "shift+" && key.length === 1 ? actions[key] : undefined);
    if (!action || gesture) return;
    event.preventDefault();
    action();
  });
  for (const type of ["keyup", "keypress"]) root.addEventListener(type, (event) => event.stopPropagation());

  // ---- the model -----------------------------------------------------------------------------

  const resized = new ResizeObserver(() => {
    if (!frame || !stage.clientWidth) return;
    fit();
    paint();
  });
  resized.observe(stage);
  model.on("change:frame", frameChanged);
  model.on("change:status", paint);
  model.on("msg:custom", copied);
  frameChanged();
  return () => {
    resized.disconnect();
    clearTimeout(slow);
    model.off("change:frame", frameChanged);
    model.off("change:status", paint);
    model.off("msg:custom", copied);
    URL.revokeObjectURL(url);
  };
}

export default { render };
