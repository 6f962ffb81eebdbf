// Samples of the microphone as 16-bit integers, in pieces of about 0.1 s.
registerProcessor("pcm16", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = 0;
    this.piece = new Int16Array(Math.round(sampleRate / 10));
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.piece[this.size++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.size === this.piece.length) {
        this.port.postMessage(this.piece.slice().buffer);
        this.size = 0;
      }
    }
    return true;
  }
});
