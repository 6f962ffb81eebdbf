// A recording's waveform. Files that would not fit into a phone's memory have none.
const MOST_BYTES = 60e6;

// A function that draws it, marking the part (0 to 1) that has been played.
export async function drawWaveform(canvas, sound) {
  try {
    if (sound.size > MOST_BYTES) throw new Error("too large");
    const context = new OfflineAudioContext(1, 1, 8000);
    const samples = (await context.decodeAudioData(await sound.arrayBuffer())).getChannelData(0);
    const draw = (played) => paint(canvas, samples, played);
    draw(0);
    return draw;
  } catch {
    canvas.hidden = true;
    return () => {};
  }
}

function paint(canvas, samples, played) {
  const width = (canvas.width = canvas.clientWidth * devicePixelRatio);
  const height = (canvas.height = 64 * devicePixelRatio);
  const style = getComputedStyle(canvas);
  const pen = canvas.getContext("2d");
  const step = samples.length / width;
  for (let x = 0; x < width; x++) {
    let peak = 0.01;
    for (let i = Math.floor(x * step); i < (x + 1) * step; i++) peak = Math.max(peak, Math.abs(samples[i]));
    pen.fillStyle = style.getPropertyValue(x < played * width ? "--accent" : "--quiet");
    pen.fillRect(x, (height - peak * height) / 2, 1, peak * height);
  }
}
