// One recording with its transcript: text in step with the sound, editing, downloads.
import {headers} from "./key.js";
import {drawWaveform} from "./waveform.js";

const DOUBTFUL = 0.5;

export class Card {
  constructor(name, sound) {
    this.element = document.getElementById("card").content.cloneNode(true).firstElementChild;
    const part = (selector) => this.element.querySelector(selector);
    Object.assign(this, {name, text: part(".text"), audio: part("audio"), progress: part("progress"), canvas: part("canvas")});
    Object.assign(this, {edit: part(".edit"), format: part("select"), cancel: part(".cancel"), current: null});
    part("h2").textContent = name;
    this.text.setAttribute("aria-label", `Transcript of ${name}`);
    this.abort = new AbortController();
    this.audio.src = URL.createObjectURL(sound);
    this.cancel.addEventListener("click", () => this.abort.abort());
    this.audio.addEventListener("timeupdate", () => this.follow());
    this.text.addEventListener("click", (event) => this.editing || this.play(event.target.closest("span")));
    this.text.addEventListener("keydown", (event) => this.editing || this.key(event));
    this.canvas.addEventListener("click", (event) => {
      this.audio.currentTime = (event.offsetX / this.canvas.clientWidth) * this.audio.duration;
    });
    this.edit.addEventListener("click", () => this.toggleEditing());
    part(".download").addEventListener("click", () => this.download());
    this.waveform = drawWaveform(this.canvas, sound);
  }

  get editing() { return this.text.isContentEditable; }
  get spans() { return [...this.text.querySelectorAll("span")]; }

  add(words) {
    for (const {word, start, end, probability} of words) {
      const span = document.createElement("span");
      span.textContent = word;
      Object.assign(span.dataset, {start, end, probability});
      span.classList.toggle("doubtful", probability < DOUBTFUL);
      this.text.append(span, " ");
      if (this.audio.duration) this.progress.value = end / this.audio.duration;
    }
  }

  finish() {
    if (!this.spans.length) this.text.textContent = "No words.";
    this.progress.remove();
    this.cancel.remove();
    this.element.querySelectorAll(":disabled").forEach((each) => { each.disabled = false; });
    this.element.dataset.state = "done";
  }

  fail(reason) {
    this.finish();
    this.text.textContent = `Not transcribed: ${reason}`;
    this.element.dataset.state = "failed";
  }

  play(span) {
    if (!span) return;
    this.select(span);
    this.audio.currentTime = Number(span.dataset.start);
    this.audio.play();
  }

  select(span) {
    this.current?.classList.remove("current");
    this.current = span;
    span.classList.add("current");
    span.scrollIntoView({block: "nearest"});
  }

  key(event) {
    const spans = this.spans;
    const at = spans.indexOf(this.current);
    const actions = {
      ArrowRight: () => this.select(spans[Math.min(at + 1, spans.length - 1)]),
      ArrowLeft: () => this.select(spans[Math.max(at - 1, 0)]),
      Enter: () => this.play(this.current),
      " ": () => (this.audio.paused ? this.audio.play() : this.audio.pause()),
    };
    if (!spans.length || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  follow() {
    const now = this.audio.currentTime;
    for (const span of this.spans) {
      span.classList.toggle("playing", span.dataset.start <= now && now < span.dataset.end && !this.audio.ended);
    }
    this.waveform.then((draw) => draw(now / this.audio.duration));
  }

  toggleEditing() {
    const on = !this.editing;
    this.text.contentEditable = on ? "true" : "false";
    this.text.setAttribute("aria-readonly", String(!on));
    this.edit.setAttribute("aria-pressed", String(on));
    if (on) this.text.focus();
  }

  // The words as they are now. One that was typed belongs to the time of the word before it.
  words() {
    const found = [];
    for (const node of this.text.childNodes) {
      const texts = node.textContent.trim().split(/\s+/).filter(Boolean);
      const {start, end, probability} = node.dataset?.start ? node.dataset : found.at(-1) ?? {start: 0, end: 0, probability: 1};
      const share = (end - start) / texts.length;
      texts.forEach((word, i) => found.push({
        word, start: Number(start) + i * share, end: Number(start) + (i + 1) * share, probability: Number(probability),
      }));
    }
    return found;
  }

  async download() {
    const format = this.format.value;
    const body = JSON.stringify({name: this.name, format, duration: this.audio.duration || 0, words: this.words()});
    const response = await fetch("write", {method: "POST", body, headers: headers()});
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = `${this.name.replace(/\.\w+$/, "")}.${format}`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
