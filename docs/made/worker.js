// The search runs in a worker, and a browser starts none for a page that is opened as a file: there a hidden frame does.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const send = inside.postMessage.bind(inside);
      this.ready = new Promise(resolve => (this.begin = resolve));
      this.postMessage = data => this.ready.then(() => send(data, "*"));
      this.terminate = () => frame.remove();
      inside.document.open();
      inside.document.write("<!doctype html><body></body>");
      inside.document.close();
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...urls) => Promise.all(urls.map(one => load(inside, one)));
      load(inside, url).then(this.begin);
    }
  };
  const load = (inside, url) => new Promise((resolve, reject) => {
    const script = inside.document.createElement("script");
    Object.assign(script, { src: url, onload: resolve, onerror: reject });
    inside.document.body.append(script);
  });
}
