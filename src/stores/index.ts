export { openSqlite, type SqliteOptions } from "./sqlite/open.ts";
export { folderSeal } from "./sqlite/folder-seal.ts";
export { memoryStores } from "./memory.ts";
export { primaryHost, type PrimaryHost } from "./cluster/host.ts";
export { workerStores } from "./cluster/client.ts";
export { ipcChannel, type Channel } from "./cluster/channel.ts";
export type { HostedStores } from "./over-backend.ts";
export { FOLDER_IN_USE } from "./problems.ts";
export { lockHolder } from "./sqlite/lock.ts";
