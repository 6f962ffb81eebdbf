// Records the microphone and, while it does, sends the sound to the server, whose words come back over Vosk's protocol.
import {openStream} from "./client.js";

export class Recorder {
  // `onAnswer` is called with each of the server's answers, `onProblem` when there will be no more of them.
  constructor(phrases, onAnswer, onProblem) {
    Object.assign(this, {phrases, onAnswer, onProblem, parts: [], sent: 0, complete: false});
  }

  async start() {
    if (!navigator.mediaDevices) throw new Error("browsers allow the microphone on https pages and on localhost only");
    this.stream = await navigator.mediaDevices.getUserMedia({audio: {channelCount: 1}});
    this.context = new AudioContext();
    await this.context.resume();
    await this.context.audioWorklet.addModule("static/worklet.js");
    this.connect();
    const node = new AudioWorkletNode(this.context, "pcm16");
    node.port.onmessage = (event) => {
      this.parts.push(event.data);
      this.send();
    };
    this.context.createMediaStreamSource(this.stream).connect(node);
  }

  connect() {
    this.socket = openStream();
    const config = {sample_rate: this.context.sampleRate, phrase_list: this.phrases, partial_words: true};
    this.socket.addEventListener("open", () => {
      this.socket.send(JSON.stringify({config}));
      this.send();
    });
    this.socket.addEventListener("message", (event) => this.onAnswer(JSON.parse(event.data)));
    this.closed = new Promise((resolve) => this.socket.addEventListener("close", resolve));
    this.closed.then((event) => {
      this.complete = event.code === 1000;
      if (!this.complete) this.onProblem(event.reason || `the connection was closed (${event.code})`);
    });
  }

  // Sends what has not been sent; nothing is lost while the connection opens.
  send() {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    for (; this.sent < this.parts.length; this.sent++) this.socket.send(this.parts[this.sent]);
  }

  // The recording as a wav file, when the last words have come. `complete` says whether all of them have.
  async stop() {
    this.stream.getTracks().forEach((track) => track.stop());
    const rate = this.context.sampleRate;
    await this.context.close();
    if (this.socket.readyState === WebSocket.CONNECTING) this.socket.close();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send('{"eof" : 1}');
    await this.closed;
    return new Blob([wavHeader(this.parts, rate), ...this.parts], {type: "audio/wav"});
  }
}

function wavHeader(parts, rate) {
  const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const view = new DataView(new ArrayBuffer(44));
  const letters = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  letters(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes per second
  view.setUint16(32, 2, true); // bytes per sample
  view.setUint16(34, 16, true); // bits per sample
  letters(36, "data");
  view.setUint32(40, size, true);
  return view.buffer;
}
