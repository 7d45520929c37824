/** An AI service at a real server. */

export const pause = (ms) => new Promise((go) => setTimeout(go, ms));

/** Streams pieces as one answer until there are no more; returns what the server says of it. */
export async function speak(url, conversation_id, message_id, pieces) {
  const query = new URLSearchParams({ conversation_id, message_id });
  const answer = await fetch(`${url}/api/stream-ai-message?${query}`, {
    method: 'POST',
    headers: { 'Content-Type': 'text/plain' },
    body: ReadableStream.from(pieces).pipeThrough(new TextEncoderStream()),
    duplex: 'half',
  });
  return answer.json();
}
