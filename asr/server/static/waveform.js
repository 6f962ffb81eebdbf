// A recording's waveform. Files that would not fit into a phone's memory have none.
const MOST_BYTES = 30e6;
const RATE = 8000; // hertz, which is enough for peaks

export class Waveform {
  // `onSeek` is called with the share of the recording (0 to 1) that was clicked.
  constructor(canvas, sound, onSeek) {
    Object.assign(this, {canvas, samples: null, played: 0});
    canvas.hidden = true;
    canvas.addEventListener("click", (event) => onSeek(event.offsetX / canvas.clientWidth));
    new ResizeObserver(() => this.measure()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(this.played));
    this.read(sound);
  }

  async read(sound) {
    if (sound.size > MOST_BYTES) return;
    try {
      const context = new OfflineAudioContext(1, 1, RATE);
      this.samples = (await context.decodeAudioData(await sound.arrayBuffer())).getChannelData(0);
    } catch {
      return; // a format that this browser cannot play
    }
    this.canvas.hidden = false;
  }

  // The loudest sample of each column of pixels.
  measure() {
    if (!this.samples || !this.canvas.clientWidth) return; // not read yet, or removed from the page
    this.canvas.width = this.canvas.clientWidth * devicePixelRatio;
    this.canvas.height = this.canvas.clientHeight * devicePixelRatio;
    const step = this.samples.length / this.canvas.width;
    this.peaks = Float32Array.from({length: this.canvas.width}, (_, x) => {
      let peak = 0.01;
      for (let i = Math.floor(x * step); i < (x + 1) * step; i++) peak = Math.max(peak, Math.abs(this.samples[i]));
      return peak;
    });
    this.draw(this.played);
  }

  // Draws it, the part (0 to 1) that has been played in another colour.
  draw(played) {
    this.played = played;
    if (!this.peaks) return;
    const {width, height} = this.canvas;
    const style = getComputedStyle(this.canvas);
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const loudest = this.peaks.reduce((a, b) => Math.max(a, b));
    this.peaks.forEach((peak, x) => {
      const size = (peak / loudest) * height;
      pen.fillStyle = style.getPropertyValue(x < played * width ? "--accent" : "--quiet");
      pen.fillRect(x, (height - size) / 2, 1, size);
    });
  }
}
