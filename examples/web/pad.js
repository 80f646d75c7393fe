// The board: draws what a pointer draws, shows pictures.

const pen = { color: '#f6f6f0', width: 24 };

/// Three bytes a pixel as a canvas.
export function toCanvas({ width, height, pixels }, canvas = document.createElement('canvas')) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0, o = 0; i < pixels.length; i += 3, o += 4) {
    image.data.set([pixels[i], pixels[i + 1], pixels[i + 2], 255], o);
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

export class Pad {
  #canvas;
  #context;
  #from = null;
  #drawn = false;

  /// `changed` is called while somebody draws, `finished` at the end of each stroke.
  constructor(canvas, { changed, finished }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { willReadFrequently: true });
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      if (!this.#drawn) this.clear();
      this.#drawn = true;
      this.#from = this.#place(event);
      this.#draw([event]);
      changed();
    });
    canvas.addEventListener('pointermove', (event) => {
      if (this.#from === null) return;
      const events = event.getCoalescedEvents?.() ?? [];
      this.#draw(events.length > 0 ? events : [event]);
      changed();
    });
    const end = () => {
      if (this.#from === null) return;
      this.#from = null;
      finished();
    };
    canvas.addEventListener('pointerup', end);
    canvas.addEventListener('pointercancel', end);
    this.clear();
  }

  clear() {
    this.#drawn = false;
    this.#context.fillStyle = '#000';
    this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /// As large as fits; the next stroke begins on an empty board.
  show(picture) {
    this.clear();
    const { width, height } = this.#canvas;
    const scale = Math.min(width / picture.width, height / picture.height);
    const w = picture.width * scale;
    const h = picture.height * scale;
    this.#context.drawImage(toCanvas(picture), (width - w) / 2, (height - h) / 2, w, h);
  }

  /// {width, height, data}, four bytes a pixel.
  pixels() {
    return this.#context.getImageData(0, 0, this.#canvas.width, this.#canvas.height);
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * this.#canvas.width) / box.width,
      y: ((event.clientY - box.top) * this.#canvas.height) / box.height,
    };
  }

  #draw(events) {
    const context = this.#context;
    context.strokeStyle = pen.color;
    context.lineWidth = pen.width;
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(this.#from.x, this.#from.y);
    for (const event of events) {
      this.#from = this.#place(event);
      context.lineTo(this.#from.x, this.#from.y);
    }
    context.stroke();
  }
}
