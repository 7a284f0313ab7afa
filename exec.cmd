@rem npm start says "exec", so that a signal to npm reaches the gateway and not a shell in between. cmd.exe has no such word; this is it.
@%*
