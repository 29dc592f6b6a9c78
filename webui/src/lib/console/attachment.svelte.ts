/** One attachment to a host's console: the WebSocket, kept open, resumed byte for byte, and what is known of the line. */
import { waitBefore } from '#lib/live/link.svelte.ts';

import * as frames from './frames.ts';

export type Standing = 'connecting' | 'attached' | 'lost' | 'refused';

/** Who is told. */
export interface Listener {
  /** `old`: the host wrote it before this page attached. */
  output(data: Uint8Array, old: boolean): void;
  /** So many bytes are gone; undefined when nobody knows how many. */
  missed(bytes: number | undefined): void;
}

const SETTLED_MS = 5_000;
/** While so many bytes wait in the browser, what is typed is not taken. */
const MOST_WAITING = 256 * 1024;
/** Close codes of the door that trying again does not change. */
const FINAL = new Set([4401, 4403, 4404, 4429]);

export class Attachment {
  standing = $state<Standing>('connecting');
  /** Why it was refused: the close code. */
  code = $state(0);
  reason = $state('');
  mayWrite = $state(false);
  writing = $state(false);
  /** Who writes; empty if nobody does. */
  writer = $state('');
  /** The line between BMC and host works. */
  connected = $state(true);
  /** Bytes of ours that the line did not take. */
  dropped = $state(0);
  #host: string;
  /** After an interruption it is asked for again. */
  #write: boolean;
  #listener: Listener;
  #socket: WebSocket | undefined;
  /** Where the host was when this page attached. */
  #end = 0;
  #at: { epoch: string; offset: number } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tries = 0;
  #closed = false;

  constructor(host: string, write: boolean, listener: Listener) {
    this.#host = host;
    this.#write = write;
    this.#listener = listener;
    this.#open();
  }

  /** Sends what somebody typed; false if it cannot be sent now. */
  type(data: Uint8Array): boolean {
    const socket = this.#socket;
    if (!this.writing || socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > MOST_WAITING) return false;
    for (const frame of frames.inputs(data)) socket.send(frame);
    return true;
  }

  sendBreak(): void {
    this.#send(frames.breakFrame());
  }

  /** Asks to be the writer. */
  take(over: boolean): void {
    this.#write = true;
    this.#send(frames.takeFrame(over));
  }

  release(): void {
    this.#write = false;
    this.#send(frames.releaseFrame());
  }

  /** Tries again now. */
  retry(): void {
    if (this.#closed || this.standing === 'attached') return;
    clearTimeout(this.#timer);
    this.#tries = 0;
    this.#drop();
    this.#open();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  #send(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
  }

  #open(): void {
    const url = frames.address(location.origin, this.#host, this.#at, this.#write);
    const socket = new WebSocket(url, frames.SUBPROTOCOL);
    const began = Date.now();
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onmessage = (message: MessageEvent<ArrayBuffer>) => {
      const frame = this.#socket === socket ? frames.parse(message.data) : undefined;
      if (frame) this.#take(frame);
    };
    socket.onclose = (end) => {
      if (this.#socket !== socket || this.#closed) return;
      this.#socket = undefined;
      if (Date.now() - began > SETTLED_MS) this.#tries = 0;
      this.#lose(end);
    };
  }

  #lose(end: CloseEvent): void {
    this.writing = false;
    this.code = end.code;
    this.reason = end.reason || this.reason;
    if (FINAL.has(end.code)) {
      this.standing = 'refused';
      return;
    }
    this.standing = 'lost';
    this.#timer = setTimeout(() => this.#open(), waitBefore(this.#tries++));
  }

  #take(frame: frames.Frame): void {
    switch (frame.kind) {
      case 'hello':
        this.#greet(frame.hello);
        return;
      case 'output':
        if (this.#at) this.#at.offset = frame.offset + frame.data.length;
        this.#listener.output(frame.data, frame.offset < this.#end);
        return;
      case 'missed':
        if (this.#at) this.#at.offset = frame.to;
        this.#listener.missed(frame.to - frame.from);
        return;
      case 'state':
        this.#know(frame.state);
        return;
      case 'written':
        this.dropped = frame.dropped;
        return;
      case 'end':
        this.reason = frame.message;
    }
  }

  #greet(hello: frames.Hello): void {
    if (hello.resumed === 'unknown' && this.#at) this.#listener.missed(undefined);
    this.#at = { epoch: hello.epoch, offset: hello.start };
    this.#end = hello.end;
    this.mayWrite = hello.mayWrite;
    this.standing = 'attached';
    this.code = 0;
    this.dropped = 0;
    this.#know(hello);
  }

  #know(state: frames.ConsoleState): void {
    this.writing = state.writing;
    this.writer = state.writer;
    this.connected = state.connected;
    this.reason = state.reason;
  }
}
