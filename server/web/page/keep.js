/** What the browser keeps: a tab for as long as it lives, or all of them. It may be forbidden: then nothing is. */

/** @param {string} key */
export function ofTab(key) {
  return kept(() => sessionStorage, key);
}

/** @param {string} key */
export function ofBrowser(key) {
  return kept(() => localStorage, key);
}

/** @param {() => Storage} storage throws where it is forbidden @param {string} key */
function kept(storage, key) {
  return {
    /** @returns {string | null} */
    get() {
      return attempt(() => storage().getItem(key)) ?? null;
    },

    /** @param {string} value an empty one is not kept */
    set(value) {
      attempt(() => (value ? storage().setItem(key, value) : storage().removeItem(key)));
    },
  };
}

/** @template T @param {() => T} action */
function attempt(action) {
  try {
    return action();
  } catch {
    return undefined; // forbidden or full
  }
}
