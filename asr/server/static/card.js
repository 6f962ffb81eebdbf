// One recording: its sound, waveform and transcript, the progress of its transcription, and downloads.
import {write} from "./client.js";
import {Transcript, clock} from "./transcript.js";
import {Waveform} from "./waveform.js";

export class Card {
  constructor(name, sound, separator) {
    this.element = document.getElementById("card").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.element.querySelector(selector);
    this.name = name;
    this.audio = find("audio");
    this.progress = find("progress");
    this.progressText = find(".progress span");
    this.failure = find(".failure");
    this.format = find("select");
    this.edit = find(".edit");
    this.remove = find(".remove");
    this.abort = new AbortController();
    this.transcript = new Transcript(find(".text"), separator, {
      onPlay: (seconds) => this.play(seconds),
      onPause: () => (this.audio.paused ? this.resume() : this.audio.pause()),
      announce: (text) => { find("[aria-live]").textContent = text; },
    });
    find("h2").textContent = name;
    find(".text").setAttribute("aria-label", `Transcript of ${name}`);
    this.progress.setAttribute("aria-label", `Progress of ${name}`);
    this.audio.src = URL.createObjectURL(sound);
    this.waveform = new Waveform(find("canvas"), sound, (share) => { this.audio.currentTime = share * this.audio.duration; });
    for (const event of ["play", "seeked"]) this.audio.addEventListener(event, () => this.follow());
    this.remove.addEventListener("click", () => this.leave());
    this.edit.addEventListener("click", () => this.transcript.edit(!this.transcript.editing));
    find(".text").addEventListener("editing", () => this.showEditing());
    find(".download").addEventListener("click", () => this.download());
  }

  showProgress(share, text) {
    if (Number.isFinite(share)) this.progress.value = share;
    else this.progress.removeAttribute("value"); // how much is left is unknown
    this.progressText.textContent = text;
  }

  add(words) {
    this.transcript.add(words);
    const end = words.at(-1).end;
    this.showProgress(end / this.audio.duration, `${clock(end)} transcribed`);
  }

  finish(failure) {
    this.element.querySelector(".progress").remove();
    this.element.dataset.state = failure ? "failed" : "done";
    this.failure.textContent = failure ?? (this.transcript.spans.length ? "" : "No words were found.");
    this.remove.textContent = "Remove";
    if (!this.transcript.spans.length) return;
    this.element.querySelectorAll(":disabled").forEach((each) => { each.disabled = false; });
  }

  // Stops the transcription or, when it has ended, removes the card.
  leave() {
    if (!this.element.dataset.state) return this.abort.abort();
    this.audio.pause();
    URL.revokeObjectURL(this.audio.src);
    this.element.remove();
  }

  play(seconds) {
    this.audio.currentTime = seconds;
    this.resume();
  }

  resume() {
    this.audio.play().catch((error) => {
      if (error.name !== "AbortError") throw error; // paused again before the sound began
    });
  }

  // Shows the time of the sound for as long as it plays.
  follow() {
    const {currentTime, duration, paused, ended} = this.audio;
    this.transcript.follow(ended ? Infinity : currentTime);
    this.waveform.draw(currentTime / duration);
    if (!paused) requestAnimationFrame(() => this.follow());
  }

  showEditing() {
    const {editing} = this.transcript;
    this.edit.setAttribute("aria-pressed", String(editing));
    this.edit.textContent = editing ? "Done" : "Edit";
  }

  async download() {
    const format = this.format.value;
    const transcript = {name: this.name, format, duration: this.audio.duration || 0, words: this.transcript.words()};
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await write(transcript));
      link.download = `${this.name.replace(/\.\w+$/, "")}.${format}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      this.failure.textContent = "";
    } catch (error) {
      this.failure.textContent = `Not written: ${error.message}`;
    }
  }
}
