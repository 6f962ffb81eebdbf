// Records the microphone, and sends it over Vosk's protocol while it does.
export class Recorder {
  constructor(show, say) {
    Object.assign(this, {show, say, parts: []});
  }

  async start(protocols) {
    if (!navigator.mediaDevices) throw new Error("browsers allow the microphone on https pages and on localhost only");
    this.stream = await navigator.mediaDevices.getUserMedia({audio: {channelCount: 1}});
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("static/worklet.js");
    const address = new URL("vosk", location.href.replace(/^http/, "ws"));
    this.socket = new WebSocket(address, protocols);
    this.closed = new Promise((resolve) => this.socket.addEventListener("close", resolve));
    this.socket.addEventListener("close", (event) => event.code !== 1000 && this.say(`Live words ended: ${event.reason || event.code}`));
    this.socket.addEventListener("message", (event) => this.show(JSON.parse(event.data)));
    this.socket.addEventListener("open", () => this.send(JSON.stringify({config: {sample_rate: this.context.sampleRate}})));
    const node = new AudioWorkletNode(this.context, "pcm16");
    node.port.onmessage = (event) => {
      this.parts.push(event.data);
      this.send(event.data);
    };
    this.context.createMediaStreamSource(this.stream).connect(node);
  }

  send(data) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  // The recording as a wav file, when the last words have come.
  async stop() {
    this.stream.getTracks().forEach((track) => track.stop());
    const rate = this.context.sampleRate;
    await this.context.close();
    this.send('{"eof" : 1}');
    if (this.socket.readyState === WebSocket.CONNECTING) this.socket.close();
    await this.closed;
    return new Blob([header(this.parts.reduce((size, part) => size + part.byteLength, 0), rate), ...this.parts], {type: "audio/wav"});
  }
}

function header(size, rate) {
  const view = new DataView(new ArrayBuffer(44));
  const letters = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  letters(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  letters(8, "WAVEfmt ");
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, rate, 4], [28, 2 * rate, 4], [32, 2, 2], [34, 16, 2], [40, size, 4]].forEach(
    ([at, value, bytes]) => (bytes === 4 ? view.setUint32(at, value, true) : view.setUint16(at, value, true)));
  letters(36, "data");
  return view.buffer;
}
