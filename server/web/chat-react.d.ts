/**
 * `useChat`: a conversation as a React component shows it, kept by chat-client.js. React is the page's own: its
 * import map or its bundler says what 'react' is.
 */
import type { Ack, AI, ChatError, ChatOptions, Finish, State, StateDetail, Status } from './chat-client.js';
export type ChatItem = {
    id: string;
    sender: string;
    own: boolean;
    text: string;
    at: Date;
    /**
     * of a saved one
     */
    seq?: number;
    /**
     * of an own one
     */
    status?: Status;
    /**
     * why it failed
     */
    error?: ChatError;
    /**
     * it is still being written
     */
    streaming?: boolean;
    /**
     * why it is not whole
     */
    finish?: Finish;
};
export type ChatView = {
    /**
     * saved ones by seq, then what is being written, then what is on its way or failed
     */
    messages: readonly ChatItem[];
    /**
     * of the connection
     */
    state: State;
    detail: StateDetail;
    ai: AI | null;
    /**
     * who types
     */
    typing: readonly string[];
    devices: number;
    /**
     * there is more for `loadEarlier`
     */
    hasEarlier: boolean;
    /**
     * the AI could not answer, until it does
     */
    noAnswer: {
        text: string;
        retry_in: number | null;
    } | null;
};
export type ChatActions = {
    sendMessage: (text: string) => Promise<Ack>;
    retry: (messageId: string) => Promise<Ack>;
    /**
     * gives a failed one up
     */
    discard: (messageId: string) => void;
    /**
     * without an id: whatever is being written or prepared
     */
    cancelResponse: (messageId?: string) => Promise<Ack>;
    setTyping: (isTyping: boolean) => void;
    markRead: (messageId: string) => Promise<Ack>;
    loadEarlier: () => Promise<void>;
    /**
     * attempts at once, or anew after `closed`
     */
    connect: () => void;
};
/**
 * Joins a conversation while the component is mounted. Another `url`, `userId`, `conversationId` or `clientId`
 * begins anew; of the other options those of the first render count.
 * @param {ChatOptions} options
 * @returns {ChatView & ChatActions}
 */
export declare function useChat(options: ChatOptions): ChatView & ChatActions;
