/** Names of Socket.IO rooms. */

export const userRoom = (userId) => `user:${userId}`;
