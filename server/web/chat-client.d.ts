/**
 * A chat client for browsers and Node 20+. `ChatSession` decides (no socket, no timer, no clock),
 * `ChatManager` acts.
 */
export type State = 'connecting' | 'open' | 'reconnecting' | 'closed';
export type Status = 'sending' | 'delivered' | 'failed';
export type Frame = {
    type: string;
    message_id?: string;
    conversation_id?: string;
    /**
     * text or an object, by type
     */
    data?: any;
    /**
     * RFC 3339, UTC
     */
    timestamp?: string;
    /**
     * user id, AI id, or `server`
     */
    sender?: string;
    /**
     * of saved messages
     */
    seq?: number;
    /**
     * on an ACK
     */
    duplicate?: boolean;
    /**
     * `cancelled`: it was stopped
     */
    finish?: string;
    error?: {
        code: string;
        retryable: boolean;
        retry_after?: number;
    };
};
export type SentFrame = Frame & {
    message_id: string;
};
export type Pending = {
    frame: SentFrame;
    deadline: number;
    /**
     * the one automatic resend is used up
     */
    resent: boolean;
    /**
     * how often, less its NACKs
     */
    sent: number;
    /**
     * it was seen as saved
     */
    seq?: number;
    resolve: (ack: Frame) => void;
    reject: (error: ChatError) => void;
};
export type Failed = {
    frame: SentFrame;
    error: ChatError;
    sent?: number;
};
export type StateDetail = {
    /**
     * of the last close
     */
    code?: number;
    reason?: string;
    /**
     * ms until the next attempt; absent during one
     */
    retryIn?: number;
};
export type Events = {
    /**
     * once per saved message, own ones too, in seq order
     */
    message: [frame: Frame];
    /**
     * of an own message
     */
    status: [messageId: string, status: Status, error?: ChatError];
    typing: [frame: Frame];
    /**
     * of an answer, and all its text so far
     */
    chunk: [frame: Frame, text: string];
    receipt: [frame: Frame];
    match: [frame: Frame];
    aiStatus: [frame: Frame];
    conversation: [frame: Frame];
    state: [state: State, detail: StateDetail];
    error: [error: ChatError];
    /**
     * welcome, devices, shutdown, announcement
     */
    system: [frame: Frame];
};
export type Effect = {
    kind: 'open';
} | {
    kind: 'drop';
} | {
    kind: 'refresh';
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
} | {
    kind: 'forget';
    id: string;
} | {
    kind: 'fill';
    after: number;
};
/** Why a message failed, or what else went wrong. */
export declare class ChatError extends Error {
    code: string;
    retryable: boolean;
    retryAfter: number | undefined;
    /** Perhaps it was saved: only the same id is safe to send again. */
    undecided: boolean;
    /**
     * @param {string} code the protocol's, `timeout`, `connection_lost` or `not_found`
     * @param {string} message
     * @param {{retryable?: boolean, retryAfter?: number, undecided?: boolean}} [more] seconds, where known
     */
    constructor(code: string, message: string, { retryable, retryAfter, undecided }?: {
        retryable?: boolean;
        retryAfter?: number;
        undecided?: boolean;
    });
    /** @param {Frame} frame NACK or ERROR */
    static of({ data, error }: Frame): ChatError;
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
     */
    takeFailed(id: string, newId: string): {
        frame: SentFrame;
        sent: number | undefined;
    } | {
        sent?: undefined;
        frame: {
            type: string;
            conversation_id?: string;
            data?: any;
            timestamp?: string;
            sender?: string;
            seq?: number;
            duplicate?: boolean;
            finish?: string;
            error?: {
                code: string;
                retryable: boolean;
                retry_after?: number;
            };
            message_id: string;
        };
    } | undefined;
    /** Gives a failed message up. @param {string} id */
    discard(id: string): void;
    /** @param {boolean} on */
    typing(on: boolean): void;
    /** @param {Frame} frame */
    received(frame: Frame): void;
    /** A saved message cannot have failed. @param {Frame} frame */
    seen({ message_id: id, seq }: Frame): void;
    /** A page of the gap; an empty one ends it. @param {Frame[]} frames */
    filled(frames: Frame[]): void;
}
export type FailedStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
export type ChatOptions = {
    /**
     * the server's origin
     */
    url: string;
    userId: string;
    conversationId: string;
    /**
     * the device: keep it across reloads
     */
    clientId?: string;
    /**
     * a JWT; called for every connection and before it runs out
     */
    getToken?: () => string | Promise<string>;
    /**
     * ms
     */
    ackTimeout?: number;
    /**
     * failed attempts in a row before giving up
     */
    maxAttempts?: number;
    /**
     * of failed messages; in a browser localStorage
     */
    storage?: FailedStorage;
    /**
     * a class, where there is no global one
     */
    WebSocket?: any;
};
/**
 * @typedef {object} ChatOptions
 * @property {string} url the server's origin
 * @property {string} userId
 * @property {string} conversationId
 * @property {string} [clientId] the device: keep it across reloads
 * @property {() => string | Promise<string>} [getToken] a JWT; called for every connection and before it runs out
 * @property {number} [ackTimeout] ms
 * @property {number} [maxAttempts] failed attempts in a row before giving up
 * @property {FailedStorage} [storage] of failed messages; in a browser localStorage
 * @property {any} [WebSocket] a class, where there is no global one
 */
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
     * @returns {Promise<Frame>} the ACK: saved, and on its way to every device; rejected with a `ChatError`
     */
    sendMessage(text: string): Promise<Frame>;
    /**
     * Sends any frame.
     * @param {Frame} frame
     * @returns {Promise<Frame>}
     */
    sendWithAck(frame: Frame): Promise<Frame>;
    /**
     * Sends a failed message again: with the same id if it may have been saved, else with a new one.
     * @param {string} messageId
     */
    retry(messageId: string): Promise<Frame>;
    /** Gives a failed message up. @param {string} messageId */
    discard(messageId: string): void;
    /** Call it on every key stroke, with false at the end. @param {boolean} isTyping */
    setTyping(isTyping: boolean): void;
    /** All up to this message is read. @param {string} messageId */
    markRead(messageId: string): Promise<Frame>;
    /** Stops an answer that is being written. @param {string} messageId of its chunks */
    cancelResponse(messageId: string): Promise<Frame>;
    /** Asks `getToken` for a new token and gives it to the open connection. */
    refreshToken(): Promise<void>;
    /**
     * Saved messages, ascending: the newest, or those next to a seq.
     * @param {{beforeSeq?: number, afterSeq?: number, limit?: number, signal?: AbortSignal}} [page]
     * @returns {Promise<{items: Frame[], has_more: boolean}>}
     */
    history({ beforeSeq, afterSeq, limit, signal }?: {
        beforeSeq?: number;
        afterSeq?: number;
        limit?: number;
        signal?: AbortSignal;
    }): Promise<{
        items: Frame[];
        has_more: boolean;
    }>;
    /**
     * The user's conversations, each with its `ai`, `last_message` and `unread`.
     * @returns {Promise<any[]>}
     */
    conversations(): Promise<any[]>;
    /**
     * @template {keyof Events} K
     * @param {K} name
     * @param {(...args: Events[K]) => void} fn
     * @returns {() => void} removes it
     */
    on<K extends keyof Events>(name: K, fn: (...args: Events[K]) => void): () => void;
    /** Settles the promise of a message. @param {Frame} frame an ACK */
    handleACK(frame: Frame): void;
    /** Rejects the promise of a message. @param {Frame} frame a NACK */
    handleNACK(frame: Frame): void;
}
