// The words of a recording on the page: shown in step with the sound, chosen by keyboard or mouse, and edited.
const UNCERTAIN = 0.5;

export class Transcript {
  // `separator` stands between words. `onPlay` is called with the seconds from which to play, `onPause` to pause or go
  // on, `announce` with words for screen readers.
  constructor(element, separator, {onPlay, onPause, announce}) {
    Object.assign(this, {element, separator, onPlay, onPause, announce, spans: [], chosen: -1, playing: -1});
    element.addEventListener("click", (event) => this.editing || this.click(event.target));
    element.addEventListener("keydown", (event) => (this.editing ? this.editKey(event) : this.key(event)));
  }

  get editing() { return this.element.isContentEditable; }

  add(words) {
    for (const {word, start, end, probability} of words) {
      const span = document.createElement("span");
      span.textContent = word;
      Object.assign(span.dataset, {word, start, end, probability});
      span.classList.toggle("uncertain", probability < UNCERTAIN);
      this.element.append(span, this.separator);
      this.spans.push(span);
    }
  }

  click(target) {
    const place = this.spans.indexOf(target);
    if (place >= 0) this.play(place);
  }

  key(event) {
    const last = this.spans.length - 1;
    const actions = {
      ArrowRight: () => this.choose(Math.min(this.chosen + 1, last)),
      ArrowLeft: () => this.choose(Math.max(this.chosen - 1, 0)),
      Home: () => this.choose(0),
      End: () => this.choose(last),
      Enter: () => this.play(Math.max(this.chosen, 0)),
      " ": () => this.onPause(),
    };
    if (last < 0 || !actions[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    actions[event.key]();
  }

  editKey(event) {
    if (event.key === "Escape") this.edit(false);
  }

  play(place) {
    this.choose(place);
    this.onPlay(Number(this.spans[place].dataset.start));
  }

  choose(place) {
    this.chosen = mark(this.spans, "chosen", this.chosen, place);
    const {textContent, classList, dataset} = this.spans[place];
    this.announce([textContent, ...(classList.contains("uncertain") ? ["uncertain"] : []), clock(dataset.start)].join(", "));
  }

  // Marks the word that sounds at a time in seconds.
  follow(seconds) {
    let low = 0;
    let high = this.spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Number(this.spans[middle].dataset.start) <= seconds) low = middle + 1;
      else high = middle;
    }
    const sounding = low > 0 && seconds < Number(this.spans[low - 1].dataset.end);
    const place = sounding ? low - 1 : -1;
    if (place !== this.playing) this.playing = mark(this.spans, "playing", this.playing, place);
  }

  edit(on) {
    if (on === this.editing) return;
    const words = on ? [] : this.words();
    this.element.contentEditable = String(on);
    this.element.setAttribute("role", on ? "textbox" : "group");
    if (on) {
      this.element.setAttribute("aria-multiline", "true");
      this.element.focus();
    } else {
      this.element.removeAttribute("aria-multiline");
      this.element.replaceChildren();
      Object.assign(this, {spans: [], chosen: -1, playing: -1});
      this.add(words);
    }
    this.element.dispatchEvent(new CustomEvent("editing"));
  }

  // The words as they are now. Those that were typed share the time of the word beside them, and are certain.
  words() {
    const groups = [];
    const texts = document.createTreeWalker(this.element, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const typed = texts.currentNode.data.split(/\s+/).filter(Boolean);
      const span = texts.currentNode.parentElement.closest("[data-start]");
      if (span && (groups.at(-1)?.span !== span || !groups.length)) groups.push({span, words: []});
      if (typed.length && !groups.length) groups.push({span: null, words: []});
      groups.at(-1)?.words.push(...typed);
    }
    if (groups[0]?.span === null && groups.length > 1) groups[1].words.unshift(...groups.shift().words);
    return groups.flatMap(({span, words}) => {
      const {word, start = 0, end = 0, probability = 1} = span?.dataset ?? {};
      const share = (end - start) / words.length;
      const unchanged = words.length === 1 && words[0] === word;
      return words.map((each, i) => ({
        word: each,
        start: Number(start) + i * share,
        end: Number(start) + (i + 1) * share,
        probability: unchanged ? Number(probability) : 1,
      }));
    });
  }
}

function mark(spans, name, before, now) {
  spans[before]?.classList.remove(name);
  spans[now]?.classList.add(name);
  spans[now]?.scrollIntoView({block: "nearest"});
  return now;
}

// 83 -> 1:23
export function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
