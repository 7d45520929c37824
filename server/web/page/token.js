/** Who is signed in. */

/** From the address's fragment, which never leaves the browser. */
export function token() {
  return new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
}

/** Whose a token says it is, which the server looks into; null where it does not say. @param {string} jwt @returns {string | null} */
export function userOf(jwt) {
  try {
    const { sub } = JSON.parse(atob((jwt.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/')));
    return typeof sub === 'string' ? sub : null;
  } catch {
    return null;
  }
}
