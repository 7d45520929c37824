import { createServer } from 'node:http';
import { once } from 'node:events';
import { WebSocket, WebSocketServer } from 'ws';

/** A server that does what a test tells it to: by default it welcomes, saves, broadcasts and ACKs. */
export class ScriptedServer {
  /** Frames of the clients, in order. */
  received = [];
  /** The URL of every connection. */
  connections = [];
  /** Offered subprotocols of every connection. */
  protocols = [];
  /** The REST history. */
  log = [];
  /** What REST requests get instead of an answer: `{status, error}`. */
  refusal = null;
  /** What the next welcomes say. */
  welcome = {};
  /** The authorization headers of the REST requests. */
  authorizations = [];
  sockets = new Set();

  async start() {
    this.http = createServer((request, response) => this.#rest(request, response));
    const sockets = new WebSocketServer({ server: this.http, handleProtocols: () => 'chat.v1' });
    sockets.on('connection', (socket, request) => this.#connected(socket, request));
    this.http.listen(0, '127.0.0.1');
    await once(this.http, 'listening');
    this.url = `http://127.0.0.1:${this.http.address().port}`;
    return this;
  }

  async stop() {
    for (const socket of this.sockets) socket.terminate();
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, 'close');
  }

  /** Answers a message; tests replace it. */
  onMessage(frame, socket) {
    const saved = { ...frame, seq: this.log.length + 1, sender: 'kai', timestamp: '2026-01-01T00:00:00Z' };
    this.log.push(saved);
    this.send(saved);
    socket.send(JSON.stringify({ type: 'ACK', message_id: frame.message_id, seq: saved.seq, data: 'ok' }));
  }

  /** Decides about a connection; tests replace it to refuse. */
  onConnection(socket) {
    this.greet(socket);
  }

  greet(socket) {
    const data = {
      event: 'connected',
      client_id: 'phone',
      session_id: 's1',
      epoch: 'e1',
      last_seq: this.log.length,
      gap: null,
      heartbeat_timeout: 60,
      ...this.welcome,
    };
    socket.send(JSON.stringify({ type: 'SYSTEM', message_id: 'w', data }));
  }

  send(frame) {
    for (const socket of this.sockets) socket.send(JSON.stringify(frame));
  }

  save(data) {
    const frame = {
      type: 'AI_RESPONSE',
      message_id: `ai${this.log.length + 1}`,
      seq: this.log.length + 1,
      data,
    };
    this.log.push(frame);
    return frame;
  }

  #connected(socket, request) {
    this.connections.push(new URL(request.url, this.url));
    this.protocols.push(request.headers['sec-websocket-protocol']);
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('message', (text) => {
      const frame = JSON.parse(String(text));
      this.received.push(frame);
      if (frame.type !== 'PONG') this.onMessage(frame, socket);
    });
    this.onConnection(socket);
  }

  #rest(request, response) {
    this.authorizations.push(request.headers.authorization);
    if (this.refusal) {
      response.writeHead(this.refusal.status, { 'Content-Type': 'application/json' });
      return response.end(JSON.stringify({ type: 'NACK', data: 'No.', error: this.refusal.error }));
    }
    const { searchParams, pathname } = new URL(request.url, this.url);
    const after = Number(searchParams.get('after_seq') ?? 0);
    const items = pathname.endsWith('/messages')
      ? this.log.filter(({ seq }) => seq > after).slice(0, 2)
      : [{ conversation_id: 'c' }];
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ items, has_more: false }));
  }
}

/** localStorage, where there is none. */
export class MemoryStorage {
  #items = new Map();
  getItem = (key) => this.#items.get(key) ?? null;
  setItem = (key, value) => void this.#items.set(key, value);
  removeItem = (key) => void this.#items.delete(key);
  get size() {
    return this.#items.size;
  }
  get keys() {
    return [...this.#items.keys()];
  }
}

/** Waits until the condition holds. */
export async function until(condition, what = condition) {
  for (const end = Date.now() + 5_000; Date.now() < end; await new Promise((go) => setTimeout(go, 5))) {
    if (condition()) return;
  }
  throw new Error(`Never happened: ${what}`);
}

export { WebSocket };
