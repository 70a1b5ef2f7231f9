"""What is done about one undeclared field of one owner: each verb with a page that tells first what it comes to."""
