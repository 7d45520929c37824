/** Where the page is, and what its address asks for. */

/** Where the server is, with the path below which a proxy may offer it; it ends in a slash. */
export const SERVER = new URL('../..', import.meta.url);
/** The page's own address, which asks for nothing. */
export const PAGE = `${SERVER.pathname}app`;

/** The address of a conversation. @param {string} user @param {string} conversation */
export function addressOf(user, conversation) {
  return `${PAGE}?${new URLSearchParams({ user, conversation })}${location.hash}`;
}

/** What the address asks for. */
export function asked() {
  const query = new URLSearchParams(location.search);
  return { user: query.get('user'), conversation: query.get('conversation') };
}
