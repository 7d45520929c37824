import type { ChatError } from './chat-client';
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
