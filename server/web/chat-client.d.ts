/**
 * A chat client for browsers and Node 20+. `ChatSession` decides (no socket, no timer, no clock),
 * `ChatManager` acts.
 */
export type ChatOptions = {
    /** Where the server is: `http:`, `https:`, `ws:` or `wss:`, with the path that a proxy offers it under. */
    url: string;
    userId: string;
    conversationId: string;
    /** The device: keep it across reloads. */
    clientId?: string;
    /** Gives a JWT; called for every connection and before it runs out. */
    getToken?: () => string | Promise<string>;
    /** In ms. */
    ackTimeout?: number;
    /** Failed attempts in a row before giving up. */
    maxAttempts?: number;
    /** Of failed messages; in a browser localStorage. */
    storage?: FailedStorage;
    /** A class, where there is no global one. */
    WebSocket?: any;
};
export type FailedStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
export type State = 'connecting' | 'open' | 'reconnecting' | 'closed';
export type Status = 'sending' | 'delivered' | 'failed';
/** The events and their listeners' arguments. */
export type Events = {
    /** Once per saved message, own ones too, in seq order. */
    message: [frame: SavedMessage];
    /** Of an own message. */
    status: [messageId: string, status: Status, error?: ChatError];
    typing: [frame: TypingFrame];
    /** Of an answer being written, and all its text so far. */
    chunk: [frame: ChunkFrame, text: string];
    receipt: [frame: ReceiptFrame];
    match: [frame: MatchFrame];
    aiStatus: [frame: AiStatusFrame];
    conversation: [frame: ConversationFrame];
    state: [state: State, detail: StateDetail];
    error: [error: ChatError];
    /** The welcome, and what else concerns no message. */
    system: [frame: SystemFrame];
};
export type StateDetail = {
    /** Of the last close. */
    code?: number;
    reason?: string;
    /** In ms, until the next attempt; absent during one. */
    retryIn?: number;
};
/** A frame that waits for its answer. */
export type Pending = {
    frame: SentFrame;
    deadline: number;
    /** The one automatic resend is used up. */
    resent: boolean;
    /** How often, less its NACKs. */
    sent: number;
    /** Its broadcast, if that was seen. */
    saved?: SavedMessage;
    resolve: (ack: Ack) => void;
    reject: (error: ChatError) => void;
};
/** A chat message that was not delivered; `sent` as in `Pending`. */
export type Failed = {
    frame: SentFrame;
    error: ChatError;
    sent?: number;
};
/** An answer being written: its text so far, and how many code points that is. */
export type Stream = {
    text: string;
    length: number;
};
/** What a session wants done. */
export type Effect = {
    kind: 'open' | 'drop' | 'refresh';
} | {
    kind: 'send';
    frame: Frame;
} | {
    kind: 'emit';
    name: keyof Events;
    args: any[];
} | {
    kind: 'settle';
    settle: () => void;
} | {
    kind: 'keep';
    failed: Failed;
    underWay?: boolean;
} | {
    kind: 'forget';
    id: string;
} | {
    kind: 'fill';
    after: number;
};
/** Any frame of the wire protocol; what the server sends is a `ServerFrame`. */
export type Frame = {
    type: string;
    message_id?: string;
    conversation_id?: string;
    /** Text or an object, by type. */
    data?: any;
    /** RFC 3339, UTC. */
    timestamp?: string;
    /** User id, AI id, or `server`. */
    sender?: string;
    /** Of saved messages. */
    seq?: number;
    /** On an ACK: it had been saved before. */
    duplicate?: boolean;
    finish?: Finish;
    error?: Fault;
};
export type SentFrame = Frame & {
    message_id: string;
};
/** Why an answer is not whole. */
export type Finish = 'cancelled' | 'length' | 'content_filter' | 'incomplete';
/** `retry_after` is in seconds, where known. */
export type Fault = {
    code: string;
    retryable: boolean;
    retry_after?: number;
};
export type Presence = 'online' | 'offline' | 'away';
/** The other party, with whatever else was said of it when the conversation was created. */
export type AI = {
    id: string;
    name: string;
    status?: Presence;
    [more: string]: unknown;
};
/** What every frame of the server has. */
export type Envelope = {
    message_id: string;
    conversation_id: string;
    timestamp: string;
    sender: string;
};
/** `finish` is absent on a whole answer. */
export type SavedMessage = Envelope & {
    type: 'CHAT_MESSAGE' | 'AI_RESPONSE';
    data: string;
    seq: number;
    client_timestamp?: string;
    finish?: Finish;
};
/** A piece of an answer; `offset` counts the code points before it. */
export type ChunkFrame = Envelope & {
    type: 'AI_RESPONSE_CHUNK';
    data: {
        text?: string;
        index?: number;
        offset?: number;
        /** Nothing is saved of it. */
        aborted?: boolean;
    };
};
export type Ack = Envelope & {
    type: 'ACK';
    data: string;
    /** Of a chat message. */
    seq?: number;
    duplicate?: boolean;
};
export type Nack = Envelope & {
    type: 'NACK';
    data: string;
    error: Fault;
};
export type ErrorFrame = Envelope & {
    type: 'ERROR';
    data: string;
    error: Fault;
};
export type TypingFrame = Omit<Envelope, 'message_id'> & {
    type: 'TYPING_INDICATOR';
    message_id?: string;
    data: {
        is_typing: boolean;
    };
};
export type ReceiptFrame = Envelope & {
    type: 'READ_RECEIPT';
    data: {
        message_id: string;
        seq: number;
    };
};
export type MatchFrame = Envelope & {
    type: 'NEW_MATCH';
    data: {
        ai: AI;
        conversation_id: string;
    };
};
export type ConversationFrame = Envelope & {
    type: 'CONVERSATION_CREATED';
    data: {
        ai: AI;
        conversation_id: string;
    };
};
export type AiStatusFrame = Envelope & {
    type: 'AI_STATUS';
    data: {
        ai_id: string;
        status: Presence;
    };
};
export type SystemFrame = Envelope & {
    type: 'SYSTEM';
    data: Welcome | SystemNews;
};
/** `no_answer`: the AI could not; it tries again in `retry_in` seconds, or not at all. */
export type SystemNews = {
    event: 'devices';
    devices: number;
} | {
    event: 'shutdown';
    reconnect_after: number;
} | {
    event: 'announcement' | 'disclosure';
    text: string;
} | {
    event: 'no_answer';
    text: string;
    retry_in: number | null;
};
/** The first frame's data; times are in seconds. */
export type Welcome = {
    event: 'connected';
    protocol: number;
    user_id: string;
    client_id: string;
    session_id: string;
    connection_id: string;
    /** The newest one. */
    last_seq: number;
    /** The log that seqs count in. */
    epoch: string;
    resumed: boolean;
    /** How many messages follow as a replay. */
    recovered: number;
    /** What is not replayed. */
    gap: {
        from: number;
        to: number;
    } | null;
    heartbeat_interval: number;
    heartbeat_timeout: number;
    ack_timeout: number;
    /** In code points. */
    max_text_length: number;
    max_frame_bytes?: number;
    rate_limit: {
        messages: number;
        window: number;
    } | null;
    ai: AI;
    devices: number;
};
export type Heartbeat = {
    type: 'PING' | 'PONG';
    message_id?: string;
    data?: any;
};
export type ServerFrame = SavedMessage | ChunkFrame | Ack | Nack | ErrorFrame | TypingFrame | ReceiptFrame | MatchFrame | ConversationFrame | AiStatusFrame | SystemFrame | Heartbeat;
/** One in the user's list. */
export type Conversation = {
    conversation_id: string;
    user_id: string;
    ai: AI;
    last_seq: number;
    last_message: SavedMessage | null;
    last_read_seq: number;
    /** AI messages beyond `last_read_seq`. */
    unread: number;
    last_ai_read_seq?: number;
    last_answered_seq?: number;
};
/** Why a message failed, or what else went wrong. */
export declare class ChatError extends Error {
    code: string;
    retryable: boolean;
    retryAfter: number | undefined;
    /** Perhaps it was saved: only the same id is safe to send again. */
    undecided: boolean;
    /**
     * @param {string} code the protocol's, `timeout`, `connection_lost`, `not_found` or `invalid_frame`
     * @param {string} message
     * @param {{retryable?: boolean, retryAfter?: number, undecided?: boolean}} [more] seconds, where known
     */
    constructor(code: string, message: string, { retryable, retryAfter, undecided }?: {
        retryable?: boolean;
        retryAfter?: number;
        undecided?: boolean;
    });
    /** @param {Pick<Frame, 'data' | 'error'>} frame NACK or ERROR */
    static of({ data, error }: Pick<Frame, 'data' | 'error'>): ChatError;
}
/**
 * Whether to reconnect after a close with this code.
 * @param {number} code
 */
export declare function reconnectsAfter(code: number): boolean;
/**
 * Exponential backoff with full jitter, in ms; after 1013 never less than 5 s.
 * @param {number} attempt from 0
 * @param {number} code of the last close
 * @param {number} random 0 to 1
 */
export declare function backoff(attempt: number, code: number, random: number): number;
/**
 * In how many ms to ask for the next token: a little before this one runs out.
 * @param {string | undefined} token a JWT
 * @param {number} wallClock ms since 1970
 */
export declare function refreshDelay(token: string | undefined, wallClock: number): number;
/**
 * Adds a piece to what there is of an answer.
 * @param {Stream | undefined} stream
 * @param {ChunkFrame['data']} piece
 * @returns {Stream | null} null: it leaves a hole, contradicts what is there, or has nothing new
 */
export declare function grow(stream: Stream | undefined, { text, offset }: ChunkFrame['data']): Stream | null;
/**
 * @param {unknown} payload of a WebSocket message
 * @returns {ServerFrame} of a known type, or of one to be skipped
 * @throws {ChatError} invalid_frame
 */
export declare function parseFrame(payload: unknown): ServerFrame;
/** What one device knows of one conversation; what is to be done is taken with `take()`. Times are in ms. */
export declare class ChatSession {
    #private;
    userId: string;
    conversationId: string;
    clientId: string;
    ackTimeout: number;
    maxAttempts: number;
    now: () => number;
    random: () => number;
    /** @type {State} */
    state: State;
    /** @type {Map<string, Pending>} by message_id, in the order of sending */
    pending: Map<string, Pending>;
    /** @type {Map<string, Failed>} by message_id */
    failed: Map<string, Failed>;
    /** The last seq passed on; null before the first welcome. @type {number | null} */
    lastSeq: number | null;
    /** After 4003. */
    needsNewToken: boolean;
    /** @param {Omit<ChatOptions, 'url'> & {clientId: string, now?: () => number, random?: () => number}} options */
    constructor({ userId, conversationId, clientId, ackTimeout, maxAttempts, now, random, }: Omit<ChatOptions, 'url'> & {
        clientId: string;
        now?: () => number;
        random?: () => number;
    });
    take(): Effect | undefined;
    /** When `tick` is due. */
    get deadline(): number;
    /** Of the next connection. */
    get path(): string;
    /** Connects, or makes the next attempt now. */
    connect(): void;
    /** @param {string} [reason] */
    disconnect(reason?: string): void;
    /** Over for good, until `connect`. @param {number} code @param {string} reason */
    end(code: number, reason: string): void;
    /** @param {number} code @param {string} reason */
    lost(code: number, reason: string): void;
    tick(): void;
    /** Makes sure of the connection at once. */
    resume(): void;
    /** @param {number} at */
    refreshTokenAt(at: number): void;
    /**
     * Sends a frame as soon as there is a connection.
     * @param {SentFrame} frame
     * @param {Pick<Pending, 'resolve' | 'reject'>} handles
     * @param {number} [sent] before it failed
     */
    submit(frame: SentFrame, handles: Pick<Pending, 'resolve' | 'reject'>, sent?: number): void;
    /**
     * Takes a failed message out, to be sent again.
     * @param {string} id
     * @param {string} newId if it needs one
     * @returns {{frame: SentFrame, sent?: number} | undefined}
     */
    takeFailed(id: string, newId: string): {
        frame: SentFrame;
        sent?: number;
    } | undefined;
    /** One that failed elsewhere. @param {Failed} failed */
    adopt(failed: Failed): void;
    /** Gives a failed message up. @param {string} id */
    discard(id: string): void;
    /** @param {boolean} on */
    typing(on: boolean): void;
    /** @param {ServerFrame} frame as `parseFrame` returns it */
    received(frame: ServerFrame): void;
    /** A saved message cannot have failed. @param {SavedMessage} frame */
    seen(frame: SavedMessage): void;
    /** A page of the gap; an empty one ends it. @param {SavedMessage[]} frames */
    filled(frames: SavedMessage[]): void;
}
/** One conversation at a time; see `Events` for what it tells. */
export declare class ChatManager {
    #private;
    /** @param {ChatOptions} options */
    constructor(options: ChatOptions);
    get state(): State;
    get userId(): string;
    get conversationId(): string;
    get clientId(): string;
    /** What waits for its answer, by message_id. */
    get pendingMessages(): Map<string, Pending>;
    /** Own messages that were not delivered, by message_id. */
    get failedMessages(): Map<string, Failed>;
    /** Connects; while a reconnection waits, makes the attempt now. */
    connect(): void;
    /** Stops every timer and rejects every promise. */
    disconnect(): void;
    /**
     * Leaves this conversation for another. What was on its way has failed (`connection_lost`), until the
     * conversation is opened again and it turns out to be saved.
     * @param {string} conversationId
     */
    switchConversation(conversationId: string): void;
    /**
     * @param {string} text
     * @param {string} [messageId] makes sure that it is saved once
     * @returns {Promise<Ack>} saved, and on its way to every device; rejected with a `ChatError`
     */
    sendMessage(text: string, messageId?: string): Promise<Ack>;
    /**
     * Sends any frame.
     * @param {Frame} frame
     * @returns {Promise<Ack>}
     */
    sendWithAck(frame: Frame): Promise<Ack>;
    /**
     * Sends a failed message again: with the same id if it may have been saved, else with a new one.
     * @param {string} messageId
     * @returns {Promise<Ack>}
     */
    retry(messageId: string): Promise<Ack>;
    /** Gives a failed message up. @param {string} messageId */
    discard(messageId: string): void;
    /** Call it on every key stroke, with false at the end. @param {boolean} isTyping */
    setTyping(isTyping: boolean): void;
    /** All up to this message is read. @param {string} messageId */
    markRead(messageId: string): Promise<Ack>;
    /**
     * Stops an answer: what was written so far is saved, with `finish: 'cancelled'`.
     * @param {string} [messageId] of its chunks; without one whatever is being written or prepared
     */
    cancelResponse(messageId?: string): Promise<Ack>;
    /** Asks `getToken` for a new token and gives it to the open connection. */
    refreshToken(): Promise<void>;
    /**
     * Saved messages, ascending: the newest, or those next to a seq.
     * @param {{beforeSeq?: number, afterSeq?: number, limit?: number, signal?: AbortSignal}} [page]
     * @returns {Promise<{items: SavedMessage[], has_more: boolean}>}
     */
    history({ beforeSeq, afterSeq, limit, signal }?: {
        beforeSeq?: number;
        afterSeq?: number;
        limit?: number;
        signal?: AbortSignal;
    }): Promise<{
        items: SavedMessage[];
        has_more: boolean;
    }>;
    /**
     * The user's conversations.
     * @returns {Promise<Conversation[]>}
     */
    conversations(): Promise<Conversation[]>;
    /**
     * @template {keyof Events} K
     * @param {K} name
     * @param {(...args: Events[K]) => void} fn
     * @returns {() => void} removes it
     */
    on<K extends keyof Events>(name: K, fn: (...args: Events[K]) => void): () => void;
    /** Settles the promise of a message. @param {Omit<Ack, 'type'>} frame */
    handleACK(frame: Omit<Ack, 'type'>): void;
    /** Rejects the promise of a message. @param {Omit<Nack, 'type'>} frame */
    handleNACK(frame: Omit<Nack, 'type'>): void;
}
